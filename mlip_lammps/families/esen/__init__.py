"""Equivariant networks with rotated edges of the Python package fairchem: eSEN and UMA."""

from mlip_lammps.families.esen.family import FAMILY

__all__ = ["FAMILY"]
