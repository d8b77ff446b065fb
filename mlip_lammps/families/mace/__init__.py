"""MACE: readers of mace-torch and portable files, the reference model and the layers.

Names are imported on first use, because reading a file must not load torch.
"""

import importlib

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


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
