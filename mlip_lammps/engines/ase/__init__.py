"""The ASE calculator.

Names are imported at their first use, so that importing the package does not load ASE.
"""

from mlip_lammps.core.lazy import lazy_names

_HOMES = {
    "MlipCalculator": "calculator",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
