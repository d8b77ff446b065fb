"""MACE: readers of mace-torch and portable files, the reference model and the layers.

Names are imported on first use, because reading a file must not load torch.
"""

from mlip_lammps.core.lazy import lazy_names
from mlip_lammps.families.mace.family import FAMILY

_HOMES = {
    "LayerSpec": "spec",
    "MaceModel": "spec",
    "MaceReference": "reference",
    "ModelSpec": "spec",
    "PairRepulsionSpec": "spec",
    "RadialSpec": "spec",
    "ReadoutSpec": "spec",
    "lower": "lowering",
    "write_portable": "reader.portable",
}

__all__ = ["FAMILY", *_HOMES]

__getattr__ = lazy_names(__name__, _HOMES)
