"""Atomic cluster expansion (ACE) as the PACE library of LAMMPS evaluates it."""

from mlip_lammps.families.ace.family import FAMILY

__all__ = ["FAMILY"]
