"""Workflows: each takes a question and any ASE calculator, and returns a frozen dataclass.

Names are imported at their first use, so that importing the package stays quick.
"""

from mlip_lammps.core.lazy import lazy_names

_HOMES = {
    "AdsorptionStudy": "surfaces.adsorption",
    "Candidate": "compositions.screening",
    "DynamicsResults": "dynamics.results",
    "DynamicsSettings": "dynamics.settings",
    "ElasticTensor": "crystals.elastic",
    "EquationOfState": "crystals.equations_of_state",
    "Gruneisen": "crystals.quasi_harmonic",
    "LatticeConductivity": "crystals.conductivity",
    "ModeSpectra": "crystals.mode_spectra",
    "ModelResults": "comparisons.models",
    "PhaseStudy": "compositions.formation",
    "PhononFrequencies": "crystals.frequencies",
    "Phonons": "crystals.phonons",
    "QuasiHarmonic": "crystals.quasi_harmonic",
    "Relaxation": "relaxation",
    "ReactionPath": "reactions.paths",
    "SurfaceEnergy": "surfaces.slabs",
    "Tasks": "tasks",
    "Vibrations": "reactions.vibrations",
    "adsorb": "surfaces.adsorption",
    "compare": "comparisons.models",
    "converge_supercell": "crystals.convergence",
    "cut_slabs": "surfaces.slabs",
    "dynamics_results": "dynamics.results",
    "elastic_tensor": "crystals.elastic",
    "equation_of_state": "crystals.equations_of_state",
    "formation_energies": "compositions.formation",
    "gruneisen": "crystals.quasi_harmonic",
    "lattice_conductivity": "crystals.conductivity",
    "layer_elastic_tensor": "crystals.elastic",
    "minimize": "lammps_minimizer",
    "mode_spectra": "crystals.mode_spectra",
    "phase_change": "crystals.equations_of_state",
    "phonon_frequencies": "crystals.frequencies",
    "phonons": "crystals.phonons",
    "quasi_harmonic": "crystals.quasi_harmonic",
    "reaction_energy": "compositions.formation",
    "reaction_path": "reactions.paths",
    "relax": "relaxation",
    "relax_all": "relaxation",
    "run_dynamics": "dynamics.run",
    "screen": "compositions.screening",
    "surface_energies": "surfaces.slabs",
    "write_report": "reports.page",
    "vibrations": "reactions.vibrations",
}

__all__ = list(_HOMES)

__getattr__ = lazy_names(__name__, _HOMES)
