"""ASE calculators: of models, and of pair styles of LAMMPS.

Names are imported at their first use, so that importing the package does not load ASE.
"""

from mlip_lammps.core.lazy import lazy_names

_HOMES = {
    "MlipCalculator": "calculator",
    "StockStyle": "stock_styles",
    "other_calculator": "other_calculators",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
