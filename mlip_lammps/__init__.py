"""Production molecular dynamics with machine-learned potentials in stock LAMMPS.

Names are imported at their first use, so that importing the package loads neither torch nor ASE.
"""

from mlip_lammps.core.lazy import lazy_names

_HOMES = {
    "LammpsSession": "engines.lammps",
    "MlipCalculator": "engines.ase",
    "export_model": "compilation",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
