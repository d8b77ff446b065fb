"""Workflows: each takes a question and any ASE calculator, and returns a frozen dataclass.

Names are imported at their first use, so that importing the package stays quick.
"""

from mlip_lammps.core.lazy import lazy_names

_HOMES = {
    "ElasticTensor": "crystals.elastic",
    "EquationOfState": "crystals.equations_of_state",
    "PhononFrequencies": "crystals.frequencies",
    "Relaxation": "relaxation",
    "Tasks": "tasks",
    "elastic_tensor": "crystals.elastic",
    "equation_of_state": "crystals.equations_of_state",
    "layer_elastic_tensor": "crystals.elastic",
    "phase_change": "crystals.equations_of_state",
    "phonon_frequencies": "crystals.frequencies",
    "relax": "relaxation",
    "relax_all": "relaxation",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
