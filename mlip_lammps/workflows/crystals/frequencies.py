"""Harmonic phonons from finite displacements."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import ArrayLike, NDArray

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.checks import require_crystal, require_known_elements, require_unconstrained
from mlip_lammps.workflows.crystals.force_constants import (
    DISPLACEMENT,
    build_phonopy,
    find_force_constants,
    to_ase,
)
from mlip_lammps.workflows.crystals.phonons import require_q_points
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.symmetry import SYMMETRY_TOLERANCE, largest_shift, symmetrized
from mlip_lammps.workflows.tasks import Tasks

_SAME_POINT = 1e-6


@dataclass(frozen=True)
class PhononFrequencies:
    """Frequencies at some points of the Brillouin zone.

    Attributes
    ----------
    q_points
        Points in reciprocal vectors of ``primitive``, shape (n_q, 3).
    labels
        Name of each point that is a special point of the Brillouin zone or equivalent to one by symmetry, in the
        notation of ASE, with G for Gamma. None for other points.
    freq_thz
        Frequencies in THz in ascending order, shape (n_q, n_modes); imaginary ones are negative numbers.
    n_displacements
        Number of evaluated supercells.
    primitive
        The primitive cell, in the orientation of the given structure.
    space_group
        International symbol and number, for instance ``Fd-3m (227)``.
    largest_shift
        Largest distance by which symmetrisation moved an atom, angstrom.
    """

    q_points: NDArray[np.float64]
    labels: tuple[str | None, ...]
    freq_thz: NDArray[np.float64]
    n_displacements: int
    primitive: Atoms
    space_group: str
    largest_shift: float


def phonon_frequencies(
    atoms: Atoms,
    calculator: Calculator,
    supercell: Sequence[int],
    q_points: ArrayLike | Sequence[str],
    displacement: float = DISPLACEMENT,
    symmetry_tolerance: float = SYMMETRY_TOLERANCE,
    *,
    tasks: Tasks | None = None,
) -> PhononFrequencies:
    """Return phonon frequencies of a relaxed crystal.

    The crystal is first symmetrised: its space group is found within ``symmetry_tolerance``, and cell and atoms are
    moved to their exact symmetric positions.

    Parameters
    ----------
    atoms
        A relaxed periodic crystal; its primitive cell is determined automatically.
    calculator
        ASE calculator.
    supercell
        Repeats along each cell vector of ``atoms``; force constants extend to half the supercell.
    q_points
        Names of special points in ASE (``["G", "X", "L"]``), or coordinates in reciprocal vectors of the
        primitive cell, shape (n_q, 3). For a face-centred cubic crystal X is (1/2, 0, 1/2) and L is (1/2, 1/2, 1/2).
    displacement
        Displacement of atoms in angstrom.
    symmetry_tolerance
        Largest deviation of atoms and cell vectors from their symmetric positions, angstrom.
    tasks
        Where the forces are computed.

    Raises
    ------
    UserInputError
        If the crystal is not periodic or has a constraint, ``supercell`` is not three numbers of 1 or more, a
        name is not a special point of the crystal, or the space group depends on the tolerance.
    """
    require_settings(displacement=displacement)
    require_crystal(atoms, "phonons need")
    require_known_elements(atoms, calculator)
    require_unconstrained(atoms, "phonons need")
    symmetric, space_group = symmetrized(atoms, symmetry_tolerance)
    phonons = build_phonopy(symmetric, supercell)
    primitive = to_ase(phonons.primitive)
    # before the calculation, because a name may be invalid
    points = _coordinates(q_points, primitive)
    find_force_constants([phonons], calculator, displacement, tasks)
    phonons.run_qpoints(points)
    return PhononFrequencies(
        q_points=points,
        labels=_labels(points, primitive, phonons.primitive_symmetry.pointgroup_operations),
        freq_thz=np.array(phonons.qpoints.frequencies),
        n_displacements=len(phonons.supercells_with_displacements),
        primitive=primitive,
        space_group=space_group,
        largest_shift=largest_shift(atoms, symmetric),
    )


def special_points(atoms: Atoms, symmetry_tolerance: float = SYMMETRY_TOLERANCE) -> tuple[str, ...]:
    """Return the names of the special points of a crystal in the notation of ASE, G for Gamma first.

    Parameters
    ----------
    atoms
        A relaxed periodic crystal; its primitive cell is determined automatically.
    symmetry_tolerance
        See `phonon_frequencies`.

    Raises
    ------
    UserInputError
        If the space group depends on the tolerance.
    """
    symmetric, _ = symmetrized(atoms, symmetry_tolerance)
    names = _special_points(to_ase(build_phonopy(symmetric, (1, 1, 1)).primitive))
    return tuple(sorted(names, key=lambda name: name != "G"))


def _coordinates(q_points: ArrayLike | Sequence[str], primitive: Atoms) -> NDArray[np.float64]:
    """Return the coordinates of points given by name or by coordinates, shape (n_q, 3)."""
    names = [q_points] if isinstance(q_points, str) else list(q_points)
    if not names or not all(isinstance(name, str) for name in names):
        return require_q_points(q_points)
    special = _special_points(primitive)
    if unknown := [name for name in names if name not in special]:
        raise UserInputError(
            f"{unknown[0]} is not a special point of this crystal; give one of {', '.join(special)} or coordinates"
        )
    return np.array([special[name] for name in names])


def _special_points(primitive: Atoms) -> dict[str, NDArray[np.float64]]:
    return primitive.cell.bandpath(npoints=0).special_points


def _labels(
    points: NDArray[np.float64], primitive: Atoms, rotations: NDArray[np.int64]
) -> tuple[str | None, ...]:
    """Return the name of each special point; points are equal up to a reciprocal vector and a crystal symmetry."""
    special = _special_points(primitive)
    operations = np.concatenate([rotations, -rotations])  # frequencies at q and -q are equal

    def label(point: NDArray[np.float64]) -> str | None:
        images = point @ operations  # a rotation R of coordinates maps q to q R
        for name, place in special.items():
            apart = images - place
            if (np.abs(apart - np.round(apart)).max(axis=1) < _SAME_POINT).any():
                return name
        return None

    return tuple(label(point) for point in points)
