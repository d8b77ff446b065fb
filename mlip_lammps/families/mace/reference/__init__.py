"""The reference MACE in torch and e3nn."""

from mlip_lammps.families.mace.reference.model import MaceReference

__all__ = ["MaceReference"]
