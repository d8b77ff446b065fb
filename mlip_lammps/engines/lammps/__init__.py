"""LAMMPS in this process and in subprocesses.

Names are imported at their first use, because the entry point of LAMMPS must import quickly.
"""

import importlib

_HOMES = {
    "BoxSettings": "session",
    "LammpsError": "session",
    "LammpsSession": "session",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
