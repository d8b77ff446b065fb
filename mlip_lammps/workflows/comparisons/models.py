"""Several models on the same structures: energies, forces, lattice, elastic constants, phonons and speed."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError
from ase.units import GPa
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_choice
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.checks import (
    DEFAULT_REACH,
    cutoff_of,
    require_apart,
    require_known_elements,
    require_no_vacuum,
    supercell_for,
)
from mlip_lammps.workflows.comparisons import MOST_ATOMS, QUANTITIES
from mlip_lammps.workflows.crystals.elastic import ElasticTensor, elastic_tensor
from mlip_lammps.workflows.crystals.frequencies import PhononFrequencies, phonon_frequencies, special_points
from mlip_lammps.workflows.relaxation import relax_each
from mlip_lammps.workflows.symmetry import in_standard_axes
from mlip_lammps.workflows.tasks import Tasks

_OF_CRYSTALS = ("lattice", "elastic", "phonons")
_RELAXED, _CRYSTAL = 1e-3, "crystal"
_POINTS, _MOST_POINTS = ("G", "X", "L", "M", "R", "H", "N", "K", "A"), 4
_TIMED_ATOMS, _TIMED_SECONDS, _SHIFT = 256, 2.0, 1e-3


@dataclass(frozen=True)
class Crystal:
    """A crystal with relaxed atoms and cell.

    Attributes
    ----------
    atoms
        The relaxed crystal.
    lengths
        Lengths of the cell vectors, angstrom, shape (3,).
    angles
        Angles of the cell vectors, degrees, shape (3,).
    volume_per_atom
        Angstrom^3.
    energy_per_atom
        eV.
    space_group
        Symbol and number.
    """

    atoms: Atoms
    lengths: NDArray[np.float64]
    angles: NDArray[np.float64]
    volume_per_atom: float
    energy_per_atom: float
    space_group: str | None


@dataclass(frozen=True)
class ModelResults:
    """What one model says of one structure; None where a quantity was not asked for or could not be computed.

    Attributes
    ----------
    energy
        Energy of the structure as it is, eV.
    forces
        Forces, eV/angstrom, shape (n_atoms, 3).
    stress_gpa
        Stress in GPa, shape (6,), Voigt order xx yy zz yz xz xy; None without a periodic cell or without stress.
    crystal
        The relaxed crystal.
    elastic
        Its elastic tensor in the standard axes of its space group: cube axes for a cubic crystal.
    phonons
        Its phonon frequencies at special points.
    microseconds_per_atom
        Time of one evaluation of energy and forces for each atom of a supercell, in this process.
    timed_atoms
        Number of atoms of that supercell.
    missing
        Why a quantity could not be computed, by its name.
    """

    energy: float | None = None
    forces: NDArray[np.float64] | None = field(default=None, repr=False)
    stress_gpa: NDArray[np.float64] | None = None
    crystal: Crystal | None = None
    elastic: ElasticTensor | None = None
    phonons: PhononFrequencies | None = None
    microseconds_per_atom: float | None = None
    timed_atoms: int | None = None
    missing: dict[str, str] = field(default_factory=dict)


def compare(
    atoms: Atoms,
    calculators: Mapping[str, Calculator],
    quantities: Sequence[str] | None = None,
    *,
    tasks: Tasks | None = None,
) -> dict[str, ModelResults]:
    """Return what each model says of a structure.

    Parameters
    ----------
    atoms
        Any structure.
    calculators
        ASE calculators by name.
    quantities
        Some of `QUANTITIES`: ``forces``: energy, forces and stress of the structure as it is; ``lattice``: the crystal
        with relaxed atoms and cell, and of it ``elastic`` constants and ``phonons`` at special points; ``speed``: time
        of an evaluation. If None, all for a crystal of at most `MOST_ATOMS` atoms, otherwise ``forces`` and ``speed``.
    tasks
        Where independent force calls run.

    Returns
    -------
    dict
        Results by the names of ``calculators``. A quantity that a model cannot compute is None; ``missing`` tells why.

    Raises
    ------
    UserInputError
        If a quantity does not exist, atoms overlap, or there is no calculator.
    """
    if not calculators:
        raise UserInputError("there is no calculator to compare; give one or more")
    require_apart(atoms)
    for quantity in quantities or ():
        require_choice("quantities", quantity, QUANTITIES)
    wanted = quantities or default_quantities(atoms)
    width = 2.0 * max(cutoff_of(calculator) or DEFAULT_REACH for calculator in calculators.values())
    return {
        name: _results(atoms, calculator, wanted, width, tasks or Tasks()) for name, calculator in calculators.items()
    }


def default_quantities(atoms: Atoms) -> tuple[str, ...]:
    """Return what is compared unless quantities are given: all for a small crystal, otherwise forces and speed."""
    return QUANTITIES if is_small_crystal(atoms) else ("forces", "speed")


def is_small_crystal(atoms: Atoms) -> bool:
    """Return whether a structure is periodic in three directions, without vacuum and of at most `MOST_ATOMS` atoms."""
    if not atoms.pbc.all() or len(atoms) > MOST_ATOMS:
        return False
    try:
        require_no_vacuum(atoms, Calculator(), "this needs")
    except UserInputError:
        return False
    return True


def _results(
    atoms: Atoms, calculator: Calculator, wanted: Sequence[str], width: float, tasks: Tasks
) -> ModelResults:
    """Return the wanted quantities of one model; ``width`` is that of the supercell for phonons, angstrom."""
    found: dict[str, object] = {}
    missing: dict[str, str] = {}

    def attempt(quantity: str, compute: Callable[[], dict[str, object]]) -> None:
        try:
            found.update(compute())
        except Exception as error:  # calculators of other packages raise their own
            reason = str(error).removeprefix(f"{_CRYSTAL}: ")
            missing[quantity] = reason if isinstance(error, MlipError) else f"{type(error).__name__}: {reason}"

    needs_crystal = any(quantity in wanted for quantity in _OF_CRYSTALS)
    try:
        require_known_elements(atoms, calculator)
    except UserInputError as error:
        return ModelResults(missing=dict.fromkeys(wanted, str(error)))
    if "forces" in wanted:
        attempt("forces", lambda: _single_point(atoms, calculator))
        if missing:  # the others need forces as well
            quantities = [*wanted, "lattice"] if needs_crystal else wanted
            return ModelResults(missing=dict.fromkeys(quantities, missing["forces"]))
    if needs_crystal:
        attempt("lattice", lambda: {"crystal": _relaxed(atoms, calculator, tasks)})
    relaxed = found["crystal"].atoms if "crystal" in found else None
    for quantity, compute in (("elastic", _elastic), ("phonons", _phonons)):
        if quantity in wanted:
            if relaxed is None:
                missing[quantity] = missing["lattice"]
            else:
                attempt(quantity, lambda q=quantity, f=compute: {q: f(relaxed, calculator, width, tasks)})
    if "speed" in wanted:
        attempt("speed", lambda: _time(atoms, calculator))
    return ModelResults(**found, missing=missing)


def _single_point(atoms: Atoms, calculator: Calculator) -> dict[str, object]:
    copy = _free(atoms, calculator)
    values = {"energy": float(copy.get_potential_energy()), "forces": copy.get_forces(), "stress_gpa": None}
    if atoms.pbc.all():
        with suppress(PropertyNotImplementedError, NotImplementedError):
            values["stress_gpa"] = copy.get_stress() / GPa
    return values


def _relaxed(atoms: Atoms, calculator: Calculator, tasks: Tasks) -> Crystal:
    options = {"cell": "free", "force_tolerance": _RELAXED}
    found = relax_each({_CRYSTAL: _free(atoms)}, calculator, tasks=tasks, **options)[_CRYSTAL]
    lengths, angles = np.split(found.atoms.cell.cellpar(), 2)
    n = len(found.atoms)
    return Crystal(found.atoms, lengths, angles, found.atoms.get_volume() / n, found.energy / n, found.space_group)


def _elastic(relaxed: Atoms, calculator: Calculator, width: float, tasks: Tasks) -> ElasticTensor:
    return elastic_tensor(in_standard_axes(relaxed), calculator, tasks=tasks)


def _phonons(relaxed: Atoms, calculator: Calculator, width: float, tasks: Tasks) -> PhononFrequencies:
    known = special_points(relaxed)
    points = [*(point for point in _POINTS if point in known), *(point for point in known if point not in _POINTS)]
    points = points[:_MOST_POINTS]
    return phonon_frequencies(relaxed, calculator, supercell_for(relaxed, width), points, tasks=tasks)


def _time(atoms: Atoms, calculator: Calculator) -> dict[str, object]:
    """Return the median time of an evaluation, after one that is not counted; the atoms move before each."""
    repeats = np.ones(3, dtype=int)
    while atoms.pbc.any() and len(atoms) * repeats.prod() < _TIMED_ATOMS:
        lengths = np.where(atoms.pbc, repeats * atoms.cell.lengths(), np.inf)
        repeats[int(np.argmin(lengths))] += 1
    moved, seconds = _free(atoms.repeat(repeats), calculator), []
    generator = np.random.default_rng(0)
    while len(seconds) < 4 or sum(seconds) < _TIMED_SECONDS:
        moved.positions += generator.uniform(-_SHIFT, _SHIFT, moved.positions.shape)
        start = time.perf_counter()
        moved.get_forces()
        seconds.append(time.perf_counter() - start)
    return {"microseconds_per_atom": 1e6 * float(np.median(seconds[1:])) / len(moved), "timed_atoms": len(moved)}


def _free(atoms: Atoms, calculator: Calculator | None = None) -> Atoms:
    """Return a copy without constraints."""
    copy = atoms.copy()
    copy.set_constraint()
    copy.calc = calculator
    return copy
