"""LAMMPS in this process and in subprocesses.

Names are imported at their first use, because the entry point of LAMMPS must import quickly.
"""

from mlip_lammps.core.lazy import lazy_names

_HOMES = {
    "BoxSettings": "box",
    "LammpsError": "session",
    "LammpsSession": "session",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
