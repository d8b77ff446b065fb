"""TensorNet potentials of MatGL."""

from mlip_lammps.families.tensornet.family import FAMILY

__all__ = ["FAMILY"]
