"""M3GNet potentials of MatGL."""

from mlip_lammps.families.m3gnet.family import FAMILY

__all__ = ["FAMILY"]
