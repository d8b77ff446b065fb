"""The ASE calculator.

Names are imported at their first use, so that importing the package does not load ASE.
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
