"""The ASE calculator.

Names are imported when they are first used: an import of the package must not load ASE.
"""

import importlib

_HOMES = {
    "MlipCalculator": "calculator",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
