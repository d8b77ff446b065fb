"""Checks of structures and calculators before long work starts."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_masses, atomic_numbers, covalent_radii
from ase.geometry import get_distances

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.models import labels_of_source
from mlip_lammps.structure.graph import pairs_within

CLOSEST = 0.4
"""Atoms closer than this times the sum of their covalent radii overlap: the shortest bonds have 0.85."""

SMALLEST_VOLUME = 1.0
"""Angstrom^3 per atom; the densest solids have 5."""

_EQUAL_MASSES = 1e-6
"""Amu."""

DEFAULT_REACH = 5.0
"""Cutoff in angstrom that is assumed for a calculator that does not state one."""


def cutoff_of(calculator: Calculator) -> float | None:
    """Return the cutoff of a model in angstrom, or None for a calculator that states none."""
    cutoff = getattr(getattr(calculator, "model", None), "cutoff", None)
    return None if cutoff is None else float(cutoff)


def require_known_elements(atoms: Atoms, calculator: Calculator, name: str = "the structure") -> None:
    """Raise ``UserInputError`` if the calculator cannot evaluate the structure.

    The reason may be that it is not an ASE calculator, that its model does not know an element, or that the structure
    has no atoms or is not finite.
    """
    if len(atoms) == 0:
        raise UserInputError(f"{name} has no atoms; give another one")
    require_finite(atoms, name)
    if calculator is None or isinstance(calculator, type):
        found = "None" if calculator is None else f"the class {calculator.__name__}"
        raise UserInputError(f"the calculator is {found}; give an ASE calculator, for example MlipCalculator(path)")
    elements = getattr(getattr(calculator, "model", None), "elements", None)
    if elements is not None:
        require_elements(atoms, elements, name)


def require_elements(atoms: Atoms, elements: Sequence[str], name: str = "the structure") -> None:
    """Raise ``UserInputError`` if the structure contains others than the ``elements`` of a model."""
    if unknown := sorted(set(atoms.get_chemical_symbols()) - set(elements)):
        raise UserInputError(
            f"{name} contains {', '.join(unknown)}, but the model knows {', '.join(elements)}; give another structure "
            "or model"
        )


def require_finite(atoms: Atoms, name: str = "the structure") -> None:
    """Raise ``UserInputError`` if a position or cell vector is not finite."""
    for what, rows in (("the position of atom", atoms.positions), ("cell vector", atoms.cell[:])):
        if not np.isfinite(rows).all():
            k = int(np.argmin(np.isfinite(rows).all(axis=1)))
            raise UserInputError(f"{what} {k} of {name}, counted from 0, is {rows[k].tolist()}; give finite numbers")


def require_apart(atoms: Atoms, name: str = "the structure") -> None:
    """Raise ``UserInputError`` if two atoms overlap, or a position or cell vector is not finite."""
    require_finite(atoms, name)
    radii = CLOSEST * covalent_radii[atoms.numbers]
    first, second, _, distances = pairs_within(atoms, 2.0 * radii.max(initial=0.0))
    distances = np.where(distances < radii[first] + radii[second], distances, np.inf)
    if not np.isfinite(distances).any():
        return
    k = int(np.argmin(distances))
    i, j = sorted((int(first[k]), int(second[k])))
    pair = " and ".join(f"{n} ({atoms[n].symbol})" for n in (i, j))
    raise UserInputError(
        f"atoms {pair} of {name}, counted from 0, are {distances[k]:.2f} angstrom apart, expected at least "
        f"{radii[i] + radii[j]:.2f}; check the positions, the cell and pbc"
    )


def require_crystal(atoms: Atoms, question: str) -> None:
    """Raise ``UserInputError`` unless the structure is periodic in three directions, has a volume, and no overlap.

    Parameters
    ----------
    question
        What needs a crystal, for example ``phonons need``.
    """
    if not atoms.pbc.all():
        raise UserInputError(f"the structure is not periodic in all directions; {question} a crystal")
    require_finite(atoms)
    volume = abs(float(np.linalg.det(atoms.cell[:])))
    if volume < SMALLEST_VOLUME * len(atoms):
        raise UserInputError(
            f"the cell of {len(atoms)} atoms has a volume of {volume:.3g} angstrom^3, expected at least "
            f"{SMALLEST_VOLUME:g} for each atom; set the cell vectors"
        )
    require_apart(atoms)


def require_unconstrained(atoms: Atoms, question: str) -> None:
    """Raise ``UserInputError`` if the structure has a constraint, which properties of a crystal cannot apply.

    Parameters
    ----------
    question
        See `require_crystal`.
    """
    if atoms.constraints:
        raise UserInputError(
            f"the structure has a constraint {type(atoms.constraints[0]).__name__}; {question} a crystal whose atoms "
            "all move: remove the constraint from the file, or call set_constraint() of the structure"
        )


def require_no_vacuum(atoms: Atoms, calculator: Calculator, question: str) -> None:
    """Raise ``UserInputError`` for a stress question about a slab, a wire or a molecule in a periodic cell."""
    cutoff = cutoff_of(calculator) or DEFAULT_REACH
    gaps = vacuum_gaps(atoms)
    if (k := int(np.argmax(gaps))) is not None and gaps[k] > cutoff:
        raise UserInputError(
            f"{gaps[k]:.1f} angstrom along cell vector {k + 1} contain no atoms, which makes the structure a slab or a "
            f"molecule; {question} a crystal without vacuum (at most the cutoff, {cutoff:g} angstrom)"
        )


def vacuum_gaps(atoms: Atoms) -> np.ndarray:
    """Return the largest gap between atoms along the normal of each cell face, angstrom, shape (3,)."""
    widths = face_distances(atoms)
    gaps = np.empty(3)
    for k, places in enumerate(atoms.get_scaled_positions().T):
        places = np.sort(places)
        gaps[k] = widths[k] * np.diff(np.append(places, places[0] + 1.0)).max()
    return gaps


def face_distances(atoms: Atoms) -> np.ndarray:
    """Return the distance of opposite faces of the cell, angstrom, shape (3,); infinite for a cell vector of zeros."""
    distances = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.complete()[:]), axis=0)
    return np.where(atoms.cell.any(axis=1), distances, np.inf)


def whole(atoms: Atoms, axes: Sequence[int] = (0, 1, 2)) -> Atoms:
    """Return a copy of a molecule, or of a slab with its axis, that is moved so that no cell face cuts it."""
    moved = atoms.copy()
    for k in axes:
        if not atoms.pbc[k] or not atoms.cell[k].any():
            continue
        places = np.sort(moved.get_scaled_positions()[:, k])
        gaps = np.diff(np.append(places, places[0] + 1.0))
        widest = int(np.argmax(gaps))
        if widest < len(gaps) - 1:  # to the middle: at a face, rounding would decide
            moved.positions += (0.5 - places[widest + 1] - 0.5 * (1.0 - gaps[widest])) * atoms.cell[k]
            moved.wrap(pbc=[axis == k for axis in range(3)])
    return moved


def supercell_for(atoms: Atoms, width: float) -> tuple[int, int, int]:
    """Return the smallest repeats whose faces are at least ``width`` angstrom apart."""
    return tuple(int(np.ceil(width / distance - 1e-6)) for distance in face_distances(atoms))


def require_wide_supercell(atoms: Atoms, supercell: Sequence[int], calculator: Calculator) -> None:
    """Raise ``UserInputError`` if an atom would interact with its own image in the supercell."""
    cutoff = cutoff_of(calculator)
    if cutoff is None:
        return
    narrowest = float((np.array(supercell) * face_distances(atoms)).min())
    if narrowest < 2.0 * cutoff:
        enough = " ".join(map(str, supercell_for(atoms, 2.0 * cutoff)))
        raise UserInputError(
            f"the supercell {' '.join(map(str, supercell))} is {narrowest:.2f} angstrom wide, expected at least "
            f"{2 * cutoff:.2f}, twice the cutoff of the model; give {enough}"
        )


def require_relaxed(atoms: Atoms, calculator: Calculator, largest: float, question: str) -> None:
    """Raise ``UserInputError`` if a force is above ``largest`` eV/angstrom."""
    at_rest = atoms.copy()
    at_rest.set_constraint()
    at_rest.calc = calculator
    forces = np.linalg.norm(at_rest.get_forces(), axis=1)
    k = int(np.argmax(forces))
    if forces[k] > largest:
        raise UserInputError(
            f"the force on atom {k} ({atoms[k].symbol}), counted from 0, is {forces[k]:.3g} eV/angstrom, expected at "
            f"most {largest:g}; {question} a relaxed structure: run mlip-lammps relax first"
        )


def require_stress_labels(calculator: Calculator, question: str) -> None:
    """Raise ``UserInputError`` if the card of the model states that it was trained without stress.

    Models without a card are accepted.
    """
    metadata = getattr(getattr(calculator, "model", None), "metadata", None) or {}
    source = metadata.get("source") or {}
    labels = labels_of_source(source.get("sha256"))
    if labels is not None and "stresses" not in labels:
        raise UserInputError(
            f"the model was trained without stresses (its card lists {', '.join(labels)}), and "
            f"{question}; keep the cell fixed, or give a model that was trained with stresses"
        )


def closest_distance(atoms: Atoms) -> float:
    """Return the smallest distance of two atoms, or infinity for a single atom without periodic images."""
    if len(atoms) < 2:
        return float("inf")
    _, distances = get_distances(atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    return float(distances[~np.eye(len(atoms), dtype=bool)].min())


def isotope_masses(atoms: Atoms) -> dict[str, float]:
    """Return the mass in amu of each element whose atoms have another one than that of the element.

    Raises
    ------
    UserInputError
        If atoms of one element have different masses.
    """
    if not atoms.has("masses"):
        return {}
    symbols, masses = np.array(atoms.get_chemical_symbols()), atoms.get_masses()
    found = {}
    for symbol in np.unique(symbols):
        own = masses[symbols == symbol]
        if np.ptp(own) > _EQUAL_MASSES:
            raise UserInputError(
                f"atoms of {symbol} have masses from {own.min():g} to {own.max():g} amu, expected one mass for each "
                "element; give all atoms of an element the same mass"
            )
        if abs(own[0] - atomic_masses[atomic_numbers[symbol]]) > _EQUAL_MASSES:
            found[str(symbol)] = float(own[0])
    return found
