"""NequIP: reader of its checkpoints; the layers are those of ``families.gated``."""

from mlip_lammps.families.nequip.family import FAMILY

__all__ = ["FAMILY"]
