"""Model families: file readers, reference models and layers, with one folder per family.

Names are imported on first use, because reading a model must not load torch.
"""

from mlip_lammps.core.lazy import lazy_names

_HOMES = {
    "Family": "family",
    "TrainedModel": "family",
    "family_named": "registry",
    "family_of": "registry",
    "inspect_model": "registry",
    "read_model": "registry",
    "register_family": "registry",
    "select_head": "registry",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
