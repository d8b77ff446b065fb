"""Benchmarks of the package and of mace-torch: ``python -m benchmarks``."""
