"""Averages, structure and motion from the files of a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from ase.geometry import minkowski_reduce

from mlip_lammps.analysis.averages import Average, block_average
from mlip_lammps.analysis.lammps_trajectory import LammpsFrame, read_frames
from mlip_lammps.analysis.local_structure import Coordination, bond_cutoff, coordination
from mlip_lammps.analysis.motion import (
    Diffusion,
    Spectrum,
    diffusion,
    finite_size_correction,
    vibrational_spectrum,
)
from mlip_lammps.analysis.rdf import RadialDistribution, radial_distribution
from mlip_lammps.analysis.structure_factor import StructureFactor, structure_factor
from mlip_lammps.analysis.thermo import read_thermo_csv
from mlip_lammps.core.arguments import require_instance
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.checks import face_distances
from mlip_lammps.workflows.dynamics.continuation import lammps_warnings
from mlip_lammps.workflows.dynamics.lammps_input import DEVIATION, TRAJECTORY, VELOCITIES
from mlip_lammps.workflows.dynamics.run import THERMO, FinishedRun
from mlip_lammps.workflows.dynamics.settings import DynamicsSettings
from mlip_lammps.workflows.settings import require_settings

_BAR_PER_GPA = 1e4
_MOST_FRAMES = 100
"""Frames for g(r), spread over the run."""
_BIN = 0.05
_LONGEST_R = 10.0
_TOO_HOT, _TOO_HOT_ANYWAY = 3.0, 100.0
"""A run is too hot above this factor times its temperature, plus this temperature in K."""
_DIFFUSIVE = (0.5, 1.5)
"""Powers of time by which the mean square displacement of a liquid may seem to grow in a short run."""
_CAGE = 0.5
"""Mean square displacement in angstrom^2 of atoms that have left their places."""
_CUBE = 0.01
"""Largest relative difference between the edges of a cube."""


@dataclass(frozen=True)
class DynamicsResults:
    """Results of a run, without its equilibration.

    Attributes
    ----------
    last_step, time_ps
        Last step, and the time that the averages cover.
    temperature, potential_energy
        Averages with standard errors from blocks, in K and eV.
    pressure_gpa, density, volume
        The same in GPa, g/cm^3 and angstrom^3; None for a box with open boundaries.
    force_deviation
        Largest force deviation of a committee in eV/angstrom, averaged over the run; None for one model.
    drift
        Slope of the conserved energy in meV per atom and ps; None with a stochastic thermostat or a ramp, which change
        that energy.
    pairs
        g(r) by pair of elements, for example ``H-O``; empty for structures that are not periodic.
    structure_factors
        Faber-Ziman structure factor by pair of elements.
    coordination
        Neighbours up to the first minimum of g(r); ``O-H`` counts H around O.
    diffusion
        By element; empty for short runs.
    finite_size_correction
        What to add to diffusion coefficients for an infinite liquid, in angstrom^2/ps; None without a viscosity.
    spectrum
        Vibrational density of states; None without frames of velocities.
    warnings
        What speaks against the results: a long time step, a temperature far above that of the settings, atoms that do
        not diffuse, and the warnings of LAMMPS.
    """

    last_step: int
    time_ps: float
    temperature: Average
    potential_energy: Average
    pressure_gpa: Average | None
    density: Average | None
    volume: Average | None
    force_deviation: Average | None
    drift: float | None
    pairs: dict[str, RadialDistribution]
    structure_factors: dict[str, StructureFactor]
    coordination: dict[str, Coordination]
    diffusion: dict[str, Diffusion]
    finite_size_correction: float | None
    spectrum: Spectrum | None
    warnings: tuple[str, ...]


def dynamics_results(
    run: FinishedRun, equilibration_ps: float | None = None, *, viscosity: float | None = None
) -> DynamicsResults:
    """Return the results of a run.

    Parameters
    ----------
    equilibration_ps
        Start of the run that is left out; a fifth of it if None.
    viscosity
        Shear viscosity in mPa s, for the correction of diffusion coefficients for the size of a cubic box.

    Raises
    ------
    UserInputError
        If nothing of the run is left, or a viscosity is given for a box that is not a cube.
    """
    require_instance("run", run, FinishedRun, "what run_dynamics returns")
    require_settings(equilibration_ps=equilibration_ps, viscosity=viscosity)
    settings, folder = run.settings, run.folder
    total = run.last_step * settings.timestep_fs / 1000.0
    start = equilibration_of(total, equilibration_ps) if total > 0.0 else 0.0  # a committee may stop it at once
    first_step = int(np.ceil(1000.0 * start / settings.timestep_fs))
    thermo = read_thermo_csv(folder / THERMO)
    kept = {name: values[thermo["Step"] >= first_step] for name, values in thermo.items()}
    is_periodic = all(next(read_frames(folder / TRAJECTORY)).pbc)
    frames = list(read_frames(folder / TRAJECTORY, first_step))
    structures = _periodic(frames)
    pairs = _pairs(structures)
    n_atoms = len(frames[0].columns["id"]) if frames else 1
    is_stochastic = settings.ensemble != "nve" and settings.thermostat != "nose-hoover"
    has_no_drift = is_stochastic or settings.has_ramp or len(kept["Step"]) < 2
    slope = None if has_no_drift else np.polyfit(kept["Time"], kept["Econserve"], 1)[0]
    moved = _diffusion(frames, settings.trajectory_every * settings.timestep_fs / 1000.0, run)
    return DynamicsResults(
        last_step=run.last_step,
        time_ps=total - start,
        temperature=block_average(kept["Temp"]),
        potential_energy=block_average(kept["PotEng"]),
        pressure_gpa=block_average(kept["Press"] / _BAR_PER_GPA) if is_periodic else None,
        density=block_average(kept["Density"]) if is_periodic else None,
        volume=block_average(kept["Volume"]) if is_periodic else None,
        force_deviation=block_average(kept[DEVIATION]) if DEVIATION in kept else None,
        drift=None if slope is None else float(1000.0 * slope / n_atoms),
        pairs=pairs,
        structure_factors=_structure_factors(structures, pairs),
        coordination=_coordination(structures, pairs),
        diffusion=moved,
        finite_size_correction=None if viscosity is None else _correction(frames, kept, viscosity),
        spectrum=_spectrum(folder, first_step, settings, run),
        warnings=(*run.warnings, *_overheating(kept, settings), *_bound_atoms(moved), *lammps_warnings(folder)),
    )


def equilibration_of(total_ps: float, equilibration_ps: float | None) -> float:
    """Return the start of a run of ``total_ps`` that averages leave out, in ps.

    Raises
    ------
    UserInputError
        If nothing of the run is left.
    """
    start = 0.2 * total_ps if equilibration_ps is None else equilibration_ps
    if start >= total_ps:
        raise UserInputError(f"equilibration_ps is {start:g}, but the run has {total_ps:g} ps; give a shorter time")
    return start


def _overheating(thermo: dict[str, np.ndarray], settings: DynamicsSettings) -> Iterator[str]:
    wanted = max(settings.temperature, settings.temperature_end or 0.0)
    reached = float(thermo["Temp"].mean())
    if reached > _TOO_HOT * wanted + _TOO_HOT_ANYWAY:
        yield (
            f"the mean temperature is {reached:.4g} K where the settings say {wanted:g} K; atoms may be too close at "
            "the start, the time step too long, or the model outside its training data"
        )


def _bound_atoms(moved: dict[str, Diffusion]) -> Iterator[str]:
    low, high = _DIFFUSIVE
    for element, one in moved.items():
        is_nonzero = one.coefficient.mean > 2.0 * (one.coefficient.error or 0.0)
        largest = float(one.displacement.max())
        if is_nonzero and largest < _CAGE:
            yield (
                f"the mean square displacement of {element} reaches {largest:.2g} angstrom^2 only, as for atoms that "
                "vibrate about their places; its diffusion coefficient has no meaning unless a longer run confirms it"
            )
        elif is_nonzero and not low <= one.exponent <= high:
            yield (
                f"the mean square displacement of {element} grows as time to the power {one.exponent:.2f}, not in "
                "proportion to time; its diffusion coefficient has no meaning unless a longer run confirms it"
            )


def _periodic(frames: list[LammpsFrame]) -> list[Atoms]:
    """Return structures for g(r), spread over the run; none if the box is not periodic."""
    if not frames or not all(frames[0].pbc):
        return []
    return [frame.atoms() for frame in frames[:: -(-len(frames) // _MOST_FRAMES)]]


def _pairs(structures: list[Atoms]) -> dict[str, RadialDistribution]:
    if not structures:
        return {}
    reduced = structures[0].copy()
    reduced.set_cell(minkowski_reduce(reduced.cell)[0])
    r_max = min(_LONGEST_R, float(face_distances(reduced).min()) / 2.0)
    counts = structures[0].symbols.formula.count()
    pairs = [(a, b) for a, b in combinations_with_replacement(sorted(counts), 2) if a != b or counts[a] > 1]
    return {f"{a}-{b}": radial_distribution(structures, (a, b), r_max, round(r_max / _BIN)) for a, b in pairs}


def _structure_factors(
    structures: list[Atoms], pairs: dict[str, RadialDistribution]
) -> dict[str, StructureFactor]:
    density = float(np.mean([len(atoms) / atoms.get_volume() for atoms in structures])) if structures else 0.0
    return {name: structure_factor(pair, density) for name, pair in pairs.items()}


def _coordination(structures: list[Atoms], pairs: dict[str, RadialDistribution]) -> dict[str, Coordination]:
    found = {}
    for name, pair in pairs.items():
        a, b = name.split("-")
        for centre, neighbour in sorted({(a, b), (b, a)}):
            if pair.g.max() > 0.0 and pair.r[-1] > 2.0 * pair.r[np.argmax(pair.g > 0.0)]:
                found[f"{centre}-{neighbour}"] = coordination(structures, (centre, neighbour), bond_cutoff(pair))
    return found


def _correction(frames: list[LammpsFrame], thermo: dict[str, np.ndarray], viscosity: float) -> float:
    cell = frames[0].cell
    lengths = np.diag(cell)
    if not all(frames[0].pbc) or np.ptp(lengths) > _CUBE * lengths.max() or np.abs(cell - np.diag(lengths)).max() > 0.0:
        raise UserInputError(
            "the correction for the size of the box is known for cubes; the box has the edges "
            f"{' '.join(f'{length:.2f}' for length in lengths)} angstrom or is tilted; leave out the viscosity"
        )
    return finite_size_correction(float(thermo["Temp"].mean()), viscosity, float(np.cbrt(thermo["Volume"].mean())))


def _diffusion(frames: list[LammpsFrame], interval_ps: float, run: FinishedRun) -> dict[str, Diffusion]:
    """Return the diffusion of the atoms that move, relative to fixed atoms or else to the centre of mass."""
    if len(frames) < 20:
        return {}
    moves = ~np.isin(frames[0].columns["id"], run.fixed)
    elements = frames[0].columns["element"][moves]
    positions = np.array([frame.vectors("xu", "yu", "zu")[moves] for frame in frames])
    if not run.fixed:
        masses = _masses(elements, run)
        positions -= np.einsum("fnk,n->fk", positions, masses / masses.sum())[:, None, :]
    return {str(e): diffusion(positions[:, elements == e], interval_ps) for e in sorted(set(elements))}


def _spectrum(folder: Path, first_step: int, settings: DynamicsSettings, run: FinishedRun) -> Spectrum | None:
    if settings.velocities_every is None:
        return None
    frames = list(read_frames(folder / VELOCITIES, first_step))
    if len(frames) < 20:
        return None
    moves = ~np.isin(frames[0].columns["id"], run.fixed)
    masses = _masses(frames[0].columns["element"][moves], run)
    velocities = np.array([frame.vectors("vx", "vy", "vz")[moves] for frame in frames])
    return vibrational_spectrum(velocities, masses, settings.velocities_every * settings.timestep_fs)


def _masses(elements: Sequence[str], run: FinishedRun) -> np.ndarray:
    """Return the mass of each atom in amu."""
    return np.array([run.masses.get(e, atomic_masses[atomic_numbers[e]]) for e in elements])
