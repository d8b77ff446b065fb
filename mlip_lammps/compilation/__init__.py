"""Compilation of trained models to the files that LAMMPS and ASE run.

Names are imported on first use, because reading metadata must not load torch.
"""

from mlip_lammps.core.lazy import lazy_names

_HOMES = {
    "ExportReport": "export",
    "compiled_model": "cache",
    "export_model": "export",
    "runnable_model": "cache",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
