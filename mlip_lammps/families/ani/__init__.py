"""ANI potentials of TorchANI and NeuroChem."""

from mlip_lammps.families.ani.family import FAMILY

__all__ = ["FAMILY"]
