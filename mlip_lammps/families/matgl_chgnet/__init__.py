"""CHGNet potentials of MatGL, another network than that of the package chgnet."""

from mlip_lammps.families.matgl_chgnet.family import FAMILY

__all__ = ["FAMILY"]
