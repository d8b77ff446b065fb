"""Molecular dynamics with LAMMPS: settings, the input script, continuation after an interruption, and results."""
