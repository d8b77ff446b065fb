"""Screening of many candidates: relax, remove duplicates, rank, and compare several models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import gcd
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.utils.structure_comparator import SymmetryEquivalenceCheck

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.relaxation import Relaxation, relax_all
from mlip_lammps.workflows.symmetry import primitive_cell, space_group
from mlip_lammps.workflows.tasks import Tasks

SAME_ENERGY = 2e-3
"""Two candidates whose energies differ by less than this (eV per atom) are compared; others are different."""

SITE_TOLERANCE = 0.1
"""Largest deviation of atoms of equal structures, relative to the cube root of the volume per atom."""


@dataclass(frozen=True)
class Candidate:
    """A relaxed candidate.

    Attributes
    ----------
    name, formula
        Name and reduced formula.
    energy_per_atom
        Energy in eV per atom; None if it did not relax.
    relative_energy
        Energy above the best candidate of the same composition, eV per atom.
    spread_per_atom
        Standard deviation of the relative energies of all models for the relaxed structure, eV per atom; None with a
        single model.
    space_group
        Symbol and number of a crystal.
    duplicate_of
        Name of an equal candidate of lower or equal energy, or None.
    error
        Why it did not relax, or None.
    atoms
        The relaxed structure.
    """

    name: str
    formula: str
    energy_per_atom: float | None
    relative_energy: float | None
    spread_per_atom: float | None
    space_group: str | None
    duplicate_of: str | None
    error: str | None
    atoms: Atoms | None = field(repr=False)


def screen(
    candidates: Mapping[str, Atoms],
    calculator: Calculator,
    *,
    committee: Sequence[Calculator] = (),
    tasks: Tasks | None = None,
    **options: Any,
) -> tuple[Candidate, ...]:
    """Relax candidates, name duplicates, and rank the candidates of each composition by energy.

    Parameters
    ----------
    candidates
        Structures by name.
    calculator
        Calculator for relaxation and ranking.
    committee
        More calculators, whose energies of the relaxed structures give the spread. Each energy is relative to the best
        candidate of the composition, because models may have different zeros.
    tasks
        Where the structures are relaxed.
    **options
        Options of ``relax``.

    Returns
    -------
    tuple of Candidate
        Compositions in alphabetic order, each by energy; candidates that did not relax are last.

    Raises
    ------
    UserInputError
        If there are no candidates, or see ``relax``.
    """
    if not candidates:
        raise UserInputError("there are no candidates; give one or more structure files")
    tasks = tasks or Tasks()
    relaxed = relax_all(candidates, calculator, tasks=tasks, **options)
    done = {name: result for name, result in relaxed.items() if isinstance(result, Relaxation)}
    order = sorted(done, key=lambda name: (_formula(done[name].atoms), done[name].energy / len(done[name].atoms), name))
    best: dict[str, str] = {}
    for name in order:
        best.setdefault(_formula(done[name].atoms), name)
    energies = _committee_energies({name: done[name].atoms for name in order}, committee, tasks)
    found: list[Candidate] = []
    for name in order:
        result = done[name]
        lowest = best[_formula(result.atoms)]
        relative = [(done[name].energy / len(result.atoms)) - done[lowest].energy / len(done[lowest].atoms)]
        relative += [table[name] - table[lowest] for table in energies]
        found.append(
            Candidate(
                name=name,
                formula=_formula(result.atoms),
                energy_per_atom=result.energy / len(result.atoms),
                relative_energy=relative[0],
                spread_per_atom=float(np.std(relative, ddof=1)) if committee else None,
                space_group=space_group(result.atoms),
                duplicate_of=_duplicate(result.atoms, result.energy / len(result.atoms), found),
                error=None,
                atoms=result.atoms,
            )
        )
    for name, result in relaxed.items():
        if isinstance(result, MlipError):
            formula = _formula(candidates[name])
            found.append(Candidate(name, formula, None, None, None, None, None, str(result), None))
    return tuple(found)


def energy_task(calculator: Calculator, atoms: Any) -> float:
    """Return the energy in eV as a task of `Tasks`."""
    copy = atoms.copy()
    copy.calc = calculator
    return float(copy.get_potential_energy())


def _committee_energies(
    structures: dict[str, Atoms], committee: Sequence[Calculator], tasks: Tasks
) -> list[dict[str, float]]:
    """Return the energies per atom of each member of the committee by name."""
    found = []
    for member in committee:
        values = tasks.map("committee", energy_task, member, list(structures.values()))
        found.append(
            {name: energy / len(atoms) for (name, atoms), energy in zip(structures.items(), values, strict=True)}
        )
    return found


def _duplicate(atoms: Atoms, energy_per_atom: float, found: Sequence[Candidate]) -> str | None:
    """Return the name of the first equal candidate that is not a duplicate itself."""
    comparison = SymmetryEquivalenceCheck(stol=SITE_TOLERANCE)
    for other in found:
        is_near = (
            other.duplicate_of is None
            and other.formula == _formula(atoms)
            and abs(other.energy_per_atom - energy_per_atom) < SAME_ENERGY
            and (other.atoms.pbc == atoms.pbc).all()
        )
        if is_near and _is_equal(atoms, other.atoms, comparison):
            return other.name
    return None


def _is_equal(one: Atoms, other: Atoms, comparison: SymmetryEquivalenceCheck) -> bool:
    if one.pbc.all():
        return bool(comparison.compare(primitive_cell(one), primitive_cell(other)))
    if len(one) != len(other):
        return False
    prints = [_distances(atoms) for atoms in (one, other)]
    return bool(np.abs(prints[0] - prints[1]).max(initial=0.0) < SITE_TOLERANCE)


def _distances(atoms: Atoms) -> np.ndarray:
    """Return all distances, sorted by the pair of elements and the distance."""
    i, j = np.triu_indices(len(atoms), 1)
    pairs = np.sort(atoms.numbers[np.column_stack([i, j])], axis=1)
    distances = atoms.get_all_distances(mic=bool(atoms.pbc.any()))[i, j]
    return distances[np.lexsort([distances, pairs[:, 1], pairs[:, 0]])]


def _formula(atoms: Atoms) -> str:
    counts = atoms.symbols.formula.count()
    divisor = gcd(*counts.values())
    return "".join(f"{symbol}{n // divisor if n > divisor else ''}" for symbol, n in sorted(counts.items()))
