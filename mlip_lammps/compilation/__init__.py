"""Compilation of trained models to the files that LAMMPS and ASE run.

Names are imported on first use, because reading metadata must not load torch.
"""

import importlib

_HOMES = {
    "ExportReport": "export",
    "compiled_model": "cache",
    "export_model": "export",
    "runnable_model": "cache",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
