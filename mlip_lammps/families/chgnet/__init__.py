"""CHGNet potentials of the Python package chgnet."""

from mlip_lammps.families.chgnet.family import FAMILY

__all__ = ["FAMILY"]
