"""Harmonic phonons from finite displacements."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import spglib
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.spacegroup.symmetrize import IntermediateDatasetError, get_symmetrized_atoms
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import guess_primitive_matrix

from mlip_lammps.core.errors import UserInputError

DISPLACEMENT = 0.01

SYMMETRY_TOLERANCE = 0.01
"""Tolerance in angstrom: after relaxation to 1e-3 eV/angstrom, positions and cell vectors are off by about 1e-3."""

WIDER = 3.0
"""The space group must be the same for a tolerance wider by this factor."""

_EXACT = 1e-5
"""Tolerance of phonopy in angstrom, for the symmetrised crystal."""

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

    Raises
    ------
    UserInputError
        If the crystal is not periodic, ``supercell`` is not three numbers of 1 or more, a name is not a special point
        of the crystal, or the space group depends on the tolerance.
    """
    if not atoms.pbc.all():
        raise UserInputError("the structure is not periodic in all directions; phonons need a crystal")
    if len(supercell) != 3 or min(supercell) < 1:
        raise UserInputError(f"supercell is {tuple(supercell)}, expected three numbers of 1 or more")
    symmetric, space_group = symmetrized(atoms, symmetry_tolerance)
    crystal = PhonopyAtoms(
        symbols=symmetric.get_chemical_symbols(),
        cell=symmetric.cell[:],
        scaled_positions=symmetric.get_scaled_positions(),
    )
    phonons = Phonopy(
        crystal,
        supercell_matrix=np.diag(supercell),
        primitive_matrix=guess_primitive_matrix(crystal, symprec=_EXACT),
        symprec=_EXACT,
    )
    found = phonons.primitive
    primitive = Atoms(found.symbols, cell=found.cell, scaled_positions=found.scaled_positions, pbc=True)
    # before the calculation, because a name may be invalid
    points = _coordinates(q_points, primitive)
    _find_force_constants(phonons, calculator, displacement)
    phonons.run_qpoints(points)
    return PhononFrequencies(
        q_points=points,
        labels=_labels(points, primitive, phonons.primitive_symmetry.pointgroup_operations),
        freq_thz=np.array(phonons.qpoints.frequencies),
        n_displacements=len(phonons.supercells_with_displacements),
        primitive=primitive,
        space_group=space_group,
        largest_shift=_largest_shift(atoms, symmetric),
    )


def symmetrized(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE) -> tuple[Atoms, str]:
    """Return the symmetrised crystal and the name of its space group.

    Parameters
    ----------
    tolerance
        Tolerance for finding the space group, angstrom.

    Raises
    ------
    UserInputError
        If the tolerance is not positive, a wider tolerance finds another space group, or symmetrisation fails.
    """
    if not tolerance > 0:
        raise UserInputError(f"the symmetry tolerance is {tolerance:g} angstrom, but must be larger than 0")
    narrow, wide = (_space_group(atoms, factor * tolerance) for factor in (1.0, WIDER))
    cure = "relax the structure to smaller forces, or give another symmetry_tolerance"
    if narrow is None or narrow != wide:
        raise UserInputError(
            f"the space group is {narrow or 'not found'} within {tolerance:g} angstrom and {wide or 'not found'} "
            f"within {WIDER * tolerance:g}; {cure}"
        )
    try:
        symmetric, _ = get_symmetrized_atoms(atoms, symprec=tolerance)
    except (IntermediateDatasetError, AssertionError):
        symmetric = None
    exact = None if symmetric is None else _space_group(symmetric, _EXACT)
    if exact != narrow:
        raise UserInputError(
            f"the structure has space group {narrow} within {tolerance:g} angstrom but cannot be symmetrised; {cure}"
        )
    return symmetric, narrow


def _space_group(atoms: Atoms, tolerance: float) -> str | None:
    cell = atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec=tolerance)
    except spglib.SpglibError:
        return None
    return None if dataset is None else f"{dataset.international} ({dataset.number})"


def _largest_shift(before: Atoms, after: Atoms) -> float:
    """Return the largest displacement of an atom or cell vector, up to a common shift of all atoms."""
    moved = after.get_scaled_positions(wrap=False) - before.get_scaled_positions(wrap=False)
    moved -= np.round(moved - moved[0]) + moved[0]
    lengths = np.linalg.norm((moved - moved.mean(axis=0)) @ after.cell[:], axis=1)
    return float(max(lengths.max(), np.linalg.norm(after.cell[:] - before.cell[:], axis=1).max()))


def _coordinates(q_points: ArrayLike | Sequence[str], primitive: Atoms) -> NDArray[np.float64]:
    """Return the coordinates of points given by name or by coordinates, shape (n_q, 3)."""
    names = [q_points] if isinstance(q_points, str) else list(q_points)
    if not all(isinstance(name, str) for name in names):
        return np.atleast_2d(np.asarray(q_points, dtype=np.float64))
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


def _find_force_constants(phonons: Phonopy, calculator: Calculator, displacement: float) -> None:
    """Compute the force constants in phonopy from the calculator's forces."""
    phonons.generate_displacements(distance=displacement)
    forces = []
    for displaced in phonons.supercells_with_displacements:
        moved = Atoms(displaced.symbols, cell=displaced.cell, scaled_positions=displaced.scaled_positions, pbc=True)
        moved.calc = calculator
        forces.append(moved.get_forces())
    phonons.forces = forces
    phonons.produce_force_constants()
    # restore the sum rules, which rounding and the finite supercell break slightly
    phonons.symmetrize_force_constants()
