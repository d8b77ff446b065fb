"""Speed of the package beside mace-torch: ``python -m benchmarks``."""
