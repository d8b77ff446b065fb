"""Frequencies and line widths of phonons at a temperature, from molecular dynamics."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray
from phonopy import Phonopy

from mlip_lammps.analysis.averages import Average
from mlip_lammps.analysis.lammps_trajectory import read_frames
from mlip_lammps.analysis.mode_spectra import fit_line, kinetic_temperature, periodogram, project_velocities
from mlip_lammps.core.arguments import require_instance
from mlip_lammps.core.errors import MlipError
from mlip_lammps.engines.lammps.box import fit_box
from mlip_lammps.workflows.crystals.force_constants import to_ase
from mlip_lammps.workflows.crystals.imaginary_modes import independent_points
from mlip_lammps.workflows.crystals.phonons import Phonons
from mlip_lammps.workflows.dynamics.lammps_input import VELOCITIES
from mlip_lammps.workflows.dynamics.run import run_dynamics
from mlip_lammps.workflows.dynamics.settings import DynamicsSettings, default_timestep
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.tasks import Report

TEMPERATURE = 300.0
RUN_PS = 50.0

_OTHER_MASS = 0.1
"""Amu; the tables of phonopy and ASE differ by less."""
_EQUILIBRATION = 0.2
"""Part of the run that is left out."""
_N_PARTS = 4
_DEGENERATE_THZ = 1e-3
_ACOUSTIC_THZ = 1e-2
"""The three modes at Gamma that shift the crystal have lower frequencies than this."""
_FRAMES_PER_PERIOD = 4
_THERMOSTAT_PS = 10.0
"""Time constant of the thermostat, long against the vibrations; it gives each mode its temperature."""
_THERMOSTAT_WIDTH_THZ = 1.0 / (2.0 * np.pi * _THERMOSTAT_PS)
"""What the thermostat adds to the width of each line."""


@dataclass(frozen=True)
class ModeSpectrum:
    """Modes of one frequency at one point, and all that are equal to them by symmetry.

    Attributes
    ----------
    q_point
        Point in reciprocal vectors of the primitive cell, shape (3,).
    harmonic_thz
        Frequency in the harmonic approximation.
    degeneracy
        Number of modes with this frequency at the point.
    n_modes
        Number of modes whose spectra are averaged: the degeneracy times the number of equal points.
    freq_thz, width_thz
        Frequency and full width at half maximum of the line at the temperature, in THz, with the standard errors of
        parts of the run.
    temperature
        Kinetic temperature of the modes in K; the temperature of the run, if it was long enough.
    power
        Power spectrum on the frequencies of `ModeSpectra`, normalised to an integral of 1, in 1/THz, shape (n,).
    """

    q_point: NDArray[np.float64]
    harmonic_thz: float
    degeneracy: int
    n_modes: int
    freq_thz: Average
    width_thz: Average
    temperature: float
    power: NDArray[np.float64] = field(repr=False)


@dataclass(frozen=True)
class ModeSpectra:
    """Spectra of the modes at all points that the supercell contains.

    Attributes
    ----------
    temperature
        Temperature of the run in K.
    time_ps
        Time that the spectra cover.
    supercell
        Repeats of the given cell.
    frequency_thz
        Frequencies of the spectra in THz, shape (n,).
    modes
        One for each frequency at each independent point, in ascending order at a point.
    """

    temperature: float
    time_ps: float
    supercell: tuple[int, int, int]
    frequency_thz: NDArray[np.float64] = field(repr=False)
    modes: tuple[ModeSpectrum, ...]


def mode_spectra(
    found: Phonons,
    calculator: Calculator,
    folder: Path | str,
    *,
    temperature: float = TEMPERATURE,
    run_ps: float = RUN_PS,
    seed: int = 2026,
    n_ranks: int = 1,
    report: Report = lambda stage, n_done, n_steps: None,
) -> ModeSpectra:
    """Return frequencies and widths of phonons at a temperature, from molecular dynamics in the supercell.

    Parameters
    ----------
    found
        Phonons, whose eigenvectors and supercell are used.
    calculator
        ``MlipCalculator``, whose model file LAMMPS runs.
    folder
        Folder for the files of the run; an interrupted run continues.
    temperature
        Temperature in K.
    run_ps
        Length of the run in ps, 4 or more, of which a fifth is left out as equilibration. Errors come from four parts
        of the rest, whose length limits the resolution of each.
    seed
        Seed of velocities and thermostat.
    n_ranks
        Number of MPI ranks.
    report
        Called with a stage, finished steps and all steps.

    Raises
    ------
    UserInputError
        If a setting is invalid.
    MlipError
        If a frequency is imaginary, or see ``run_dynamics``.

    Notes
    -----
    Velocities are projected on the eigenvectors of the harmonic crystal; each power spectrum is fitted with the line
    of a damped oscillator: T. Sun, X. Shen, P. B. Allen, Phys. Rev. B 82, 224304 (2010). The run starts from a sample
    of the classical harmonic crystal at the temperature. A Langevin thermostat with a time constant of 10 ps gives
    each mode its temperature; the width that it adds, 0.016 THz, is subtracted, so that a narrow line may have a
    width slightly below 0. All anharmonicity at this volume is contained, for atoms that move classically.
    """
    require_settings(temperature=temperature, run_ps=run_ps, seed=seed, n_ranks=n_ranks)
    require_instance("found", found, Phonons, "what phonons returns")
    groups = _groups(found.phonopy)
    atoms, masses = to_ase(found.phonopy.supercell), found.phonopy.supercell.masses
    if np.abs(masses - atoms.get_masses()).max() > _OTHER_MASS:  # isotopes
        atoms.set_masses(masses)
    settings = _settings(atoms, temperature, run_ps, seed, max(group.freq_thz for group in groups))
    found.phonopy.init_random_displacements(dist_func="classical")
    (shifts,) = found.phonopy.get_random_displacements_at_temperature(temperature, 1, random_seed=seed)
    warm = atoms.copy()
    warm.positions += shifts
    run = run_dynamics(warm, calculator, settings, folder, n_ranks=n_ranks, report=report)
    velocities = _velocities(atoms, run.folder, round(_EQUILIBRATION * settings.n_steps))
    interval_ps = settings.velocities_every * settings.timestep_fs / 1000.0
    modes = []
    for group in groups:
        series = _project(found.phonopy, group, velocities)
        modes.append(_spectrum(group, series, interval_ps))
    frequency, _ = periodogram(velocities[:, :1, 0], interval_ps)
    return ModeSpectra(temperature, len(velocities) * interval_ps, found.supercell, frequency, tuple(modes))


@dataclass(frozen=True)
class _Group:
    """Numbers of the modes of one frequency at a set of points that are equal by symmetry."""

    points: NDArray[np.float64]
    bands: slice
    freq_thz: float


def _groups(crystal: Phonopy) -> list[_Group]:
    groups = []
    for points in independent_points(crystal):
        crystal.run_qpoints([points[0]])
        frequencies = crystal.qpoints.frequencies[0]
        if frequencies[0] < -_ACOUSTIC_THZ:
            raise MlipError(
                f"a frequency is imaginary ({frequencies[0]:.2f} THz), so the atoms do not vibrate around the given "
                "positions; use a stable phase"
            )
        starts = [0, *(np.flatnonzero(np.diff(frequencies) > _DEGENERATE_THZ) + 1), len(frequencies)]
        for first, end in pairwise(starts):
            if frequencies[first:end].mean() > _ACOUSTIC_THZ:
                groups.append(_Group(points, slice(int(first), int(end)), float(frequencies[first:end].mean())))
    return groups


def _settings(
    atoms: Atoms, temperature: float, run_ps: float, seed: int, highest_thz: float
) -> DynamicsSettings:
    timestep = default_timestep(atoms)
    return DynamicsSettings(
        ensemble="nvt",
        thermostat="langevin",
        thermostat_fs=1000.0 * _THERMOSTAT_PS,
        temperature=temperature,
        time_ps=run_ps,
        timestep_fs=timestep,
        seed=seed,
        spectrum_fs=max(timestep, 1000.0 / (_FRAMES_PER_PERIOD * highest_thz)),
    )


def _velocities(atoms: Atoms, folder: Path, first_step: int) -> NDArray[np.float64]:
    """Return velocities in angstrom/ps in the orientation of the crystal, shape (n_frames, n_atoms, 3)."""
    prism, _ = fit_box(atoms)
    frames = read_frames(folder / VELOCITIES, first_step)
    return np.array([prism.vector_to_ase(frame.vectors("vx", "vy", "vz")) for frame in frames])


def _project(crystal: Phonopy, group: _Group, velocities: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return the velocities of the modes of a group, shape (n_frames, n_modes)."""
    primitive, supercell = crystal.primitive, crystal.supercell
    numbers = {int(atom): k for k, atom in enumerate(primitive.p2s_map)}
    atoms_of_cell = np.array([numbers[int(atom)] for atom in primitive.s2p_map])
    positions = supercell.positions @ np.linalg.inv(primitive.cell)
    crystal.run_qpoints(group.points, with_eigenvectors=True)
    return np.concatenate(
        [
            project_velocities(velocities, supercell.masses, positions, atoms_of_cell, point, vectors[:, group.bands])
            for point, vectors in zip(group.points, crystal.qpoints.eigenvectors, strict=True)
        ],
        axis=1,
    )


def _spectrum(group: _Group, series: NDArray[np.complex128], interval_ps: float) -> ModeSpectrum:
    line = fit_line(series, interval_ps, group.freq_thz)
    parts = [fit_line(part, interval_ps, group.freq_thz) for part in np.array_split(series, _N_PARTS)]
    frequency, power = periodogram(series, interval_ps)
    return ModeSpectrum(
        q_point=group.points[0],
        harmonic_thz=group.freq_thz,
        degeneracy=group.bands.stop - group.bands.start,
        n_modes=series.shape[1],
        freq_thz=Average(line.freq_thz, _error([part.freq_thz for part in parts])),
        width_thz=Average(line.width_thz - _THERMOSTAT_WIDTH_THZ, _error([part.width_thz for part in parts])),
        temperature=kinetic_temperature(series),
        power=power / np.trapezoid(power, frequency),
    )


def _error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))
