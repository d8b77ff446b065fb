"""SevenNet: reader of its checkpoints; the layers are those of ``families.gated``."""

from mlip_lammps.families.sevennet.family import FAMILY

__all__ = ["FAMILY"]
