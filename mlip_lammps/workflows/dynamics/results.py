"""Averages, structure and motion from the files of a run."""

from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from mlip_lammps.analysis.averages import Average, block_average
from mlip_lammps.analysis.lammps_trajectory import LammpsFrame, read_frames
from mlip_lammps.analysis.motion import Diffusion, Spectrum, diffusion, vibrational_spectrum
from mlip_lammps.analysis.rdf import RadialDistribution, radial_distribution
from mlip_lammps.analysis.thermo import read_thermo_csv
from mlip_lammps.core.arguments import require_instance
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.checks import face_distances
from mlip_lammps.workflows.dynamics.lammps_input import TRAJECTORY, VELOCITIES
from mlip_lammps.workflows.dynamics.run import THERMO, FinishedRun
from mlip_lammps.workflows.dynamics.settings import DynamicsSettings
from mlip_lammps.workflows.settings import require_settings

_BAR_PER_GPA = 1e4
_MOST_FRAMES = 200
"""Frames for g(r), spread over the run."""
_BIN = 0.05
_LONGEST_R = 10.0


@dataclass(frozen=True)
class DynamicsResults:
    """Results of a run, without its equilibration.

    Attributes
    ----------
    last_step, time_ps
        Last step, and the time that the averages cover.
    temperature, potential_energy, pressure_gpa, density, volume
        Averages with standard errors from blocks, in K, eV, GPa, g/cm^3 and angstrom^3.
    drift
        Slope of the conserved energy in meV per atom and ps; None with a stochastic thermostat.
    pairs
        g(r) by pair of elements, for example ``H-O``; empty for structures that are not periodic.
    diffusion
        By element; empty for short runs.
    spectrum
        Vibrational density of states; None without frames of velocities.
    """

    last_step: int
    time_ps: float
    temperature: Average
    potential_energy: Average
    pressure_gpa: Average
    density: Average
    volume: Average
    drift: float | None
    pairs: dict[str, RadialDistribution]
    diffusion: dict[str, Diffusion]
    spectrum: Spectrum | None


def dynamics_results(run: FinishedRun, equilibration_ps: float | None = None) -> DynamicsResults:
    """Return the results of a run.

    Parameters
    ----------
    equilibration_ps
        Start of the run that is left out; a fifth of it if None.

    Raises
    ------
    UserInputError
        If nothing of the run is left.
    """
    require_instance("run", run, FinishedRun, "what run_dynamics returns")
    require_settings(equilibration_ps=equilibration_ps)
    settings, folder = run.settings, run.folder
    total = run.last_step * settings.timestep_fs / 1000.0
    start = 0.2 * total if equilibration_ps is None else equilibration_ps
    if start >= total:
        raise UserInputError(f"equilibration_ps is {start:g}, but the run has {total:g} ps; give a shorter time")
    first_step = int(np.ceil(1000.0 * start / settings.timestep_fs))
    thermo = read_thermo_csv(folder / THERMO)
    kept = {name: values[thermo["Step"] >= first_step] for name, values in thermo.items()}
    frames = list(read_frames(folder / TRAJECTORY, first_step))
    n_atoms = len(frames[0].columns["id"]) if frames else 1
    is_stochastic = settings.ensemble != "nve" and settings.thermostat != "nose-hoover"
    is_short = len(kept["Step"]) < 2
    slope = None if is_stochastic or is_short else np.polyfit(kept["Time"], kept["Econserve"], 1)[0]
    return DynamicsResults(
        last_step=run.last_step,
        time_ps=total - start,
        temperature=block_average(kept["Temp"]),
        potential_energy=block_average(kept["PotEng"]),
        pressure_gpa=block_average(kept["Press"] / _BAR_PER_GPA),
        density=block_average(kept["Density"]),
        volume=block_average(kept["Volume"]),
        drift=None if slope is None else float(1000.0 * slope / n_atoms),
        pairs=_pairs(frames),
        diffusion=_diffusion(frames, settings.trajectory_every * settings.timestep_fs / 1000.0),
        spectrum=_spectrum(folder, first_step, settings),
    )


def _pairs(frames: list[LammpsFrame]) -> dict[str, RadialDistribution]:
    if not frames or not all(frames[0].pbc):
        return {}
    structures = [frame.atoms() for frame in frames[:: -(-len(frames) // _MOST_FRAMES)]]
    r_max = min(_LONGEST_R, float(face_distances(structures[0]).min()) / 2.0)
    counts = structures[0].symbols.formula.count()
    pairs = [
        (a, b) for a, b in combinations_with_replacement(sorted(counts), 2) if a != b or counts[a] > 1
    ]
    return {f"{a}-{b}": radial_distribution(structures, (a, b), r_max, round(r_max / _BIN)) for a, b in pairs}


def _diffusion(frames: list[LammpsFrame], interval_ps: float) -> dict[str, Diffusion]:
    if len(frames) < 20:
        return {}
    elements = frames[0].columns["element"]
    masses = np.array([atomic_masses[atomic_numbers[e]] for e in elements])
    positions = np.array([frame.vectors("xu", "yu", "zu") for frame in frames])
    positions -= np.einsum("fnk,n->fk", positions, masses / masses.sum())[:, None, :]
    return {str(e): diffusion(positions[:, elements == e], interval_ps) for e in sorted(set(elements))}


def _spectrum(folder: Path, first_step: int, settings: DynamicsSettings) -> Spectrum | None:
    if settings.velocities_every is None:
        return None
    frames = list(read_frames(folder / VELOCITIES, first_step))
    if len(frames) < 20:
        return None
    masses = np.array([atomic_masses[atomic_numbers[e]] for e in frames[0].columns["element"]])
    velocities = np.array([frame.vectors("vx", "vy", "vz") for frame in frames])
    return vibrational_spectrum(velocities, masses, settings.velocities_every * settings.timestep_fs)
