"""Model families: file readers, reference models and layers, with one folder per family.

Names are imported on first use, because reading a model must not load torch.
"""

import importlib

_HOMES = {
    "Family": "family",
    "TrainedModel": "family",
    "family_of": "registry",
    "inspect_model": "registry",
    "read_model": "registry",
    "register_family": "registry",
    "select_head": "registry",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
