"""Space groups of crystals, and crystals moved to their exact symmetric positions."""

import numpy as np
import spglib
from ase import Atoms
from ase.spacegroup.symmetrize import IntermediateDatasetError, get_symmetrized_atoms
from numpy.typing import NDArray

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.handedness import right_handed
from mlip_lammps.workflows.checks import isotope_masses
from mlip_lammps.workflows.settings import require_settings

SYMMETRY_TOLERANCE = 0.01
"""Tolerance in angstrom: after relaxation to 1e-3 eV/angstrom, positions and cell vectors are off by about 1e-3."""

WIDER = 3.0
"""The space group must be the same for a tolerance wider by this factor."""

EXACT = 1e-5
"""Tolerance in angstrom for a symmetrised crystal."""

_FIRST_CUBIC = 195
"""Number of the first cubic space group."""

spglib.error.OLD_ERROR_HANDLING = False  # raise errors instead of returning None


def symmetry_dataset(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE) -> spglib.SpglibDataset | None:
    """Return what spglib finds for a crystal, or None if it finds no space group.

    Parameters
    ----------
    tolerance
        Tolerance of positions and cell vectors, angstrom.
    """
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        return None
    try:
        return spglib.get_symmetry_dataset(
            (atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers), symprec=tolerance
        )
    except spglib.SpglibError:
        return None


def space_group(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE) -> str | None:
    """Return symbol and number of the space group, for instance ``Fd-3m (227)``; None if there is none."""
    dataset = symmetry_dataset(atoms, tolerance)
    return None if dataset is None else f"{dataset.international} ({dataset.number})"


def has_fixed_shape(atoms: Atoms) -> bool:
    """Return whether the symmetry of a crystal fixes the shape of its cell: that of cubic crystals."""
    dataset = symmetry_dataset(atoms)
    return dataset is not None and dataset.number >= _FIRST_CUBIC


def symmetrized(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE) -> tuple[Atoms, str]:
    """Return the symmetrised crystal, with right-handed cell vectors, and the name of its space group.

    Parameters
    ----------
    tolerance
        Tolerance for finding the space group, angstrom.

    Raises
    ------
    UserInputError
        If the tolerance is not positive, a wider tolerance finds another space group, or symmetrisation fails.
    """
    require_settings(symmetry_tolerance=tolerance)
    atoms = right_handed(atoms)
    narrow, wide = (space_group(atoms, factor * tolerance) for factor in (1.0, WIDER))
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
    exact = None if symmetric is None else space_group(symmetric, EXACT)
    if exact != narrow:
        raise UserInputError(
            f"the structure has space group {narrow} within {tolerance:g} angstrom but cannot be symmetrised; {cure}"
        )
    if isotope_masses(atoms):
        symmetric.set_masses(atoms.get_masses())
    return symmetric, narrow


def largest_shift(before: Atoms, after: Atoms) -> float:
    """Return the largest displacement of an atom or cell vector in angstrom, up to a common shift of all atoms."""
    before = right_handed(before)
    moved = after.get_scaled_positions(wrap=False) - before.get_scaled_positions(wrap=False)
    moved -= np.round(moved - moved[0]) + moved[0]
    lengths = np.linalg.norm((moved - moved.mean(axis=0)) @ after.cell[:], axis=1)
    return float(max(lengths.max(), np.linalg.norm(after.cell[:] - before.cell[:], axis=1).max()))


def in_standard_axes(atoms: Atoms) -> Atoms:
    """Return the crystal rotated to the standard axes of spglib: of a cubic crystal, the cube axes are x, y and z.

    A structure without a space group is returned unchanged.
    """
    dataset, rotated = symmetry_dataset(atoms), atoms.copy()
    if dataset is not None:
        rotated.set_cell(atoms.cell[:] @ dataset.std_rotation_matrix.T, scale_atoms=True)
    return rotated


def standard_cell(atoms: Atoms, *, is_primitive: bool, tolerance: float = SYMMETRY_TOLERANCE) -> Atoms | None:
    """Return the primitive or the conventional cell of a crystal in standard axes; None if no symmetry is found."""
    cell = atoms.cell[:], atoms.get_scaled_positions(), atoms.numbers
    try:
        vectors, places, numbers = spglib.standardize_cell(cell, to_primitive=is_primitive, symprec=tolerance)
    except spglib.SpglibError:
        return None
    return Atoms(numbers, scaled_positions=places, cell=vectors, pbc=True)


def primitive_cell(atoms: Atoms, tolerance: float = SYMMETRY_TOLERANCE) -> Atoms:
    """Return the primitive cell of a crystal in standard axes; a copy if no symmetry is found."""
    found = standard_cell(atoms, is_primitive=True, tolerance=tolerance)
    return found or Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True)


def point_group(atoms: Atoms) -> NDArray[np.float64]:
    """Return the rotations of the point group in Cartesian axes, shape (n_rotations, 3, 3); identity if none."""
    dataset = symmetry_dataset(atoms)
    if dataset is None:
        return np.eye(3)[None]
    vectors, rotations = atoms.cell[:].T, []
    for rotation in np.unique(dataset.rotations, axis=0):
        # a crystal that is symmetric within a tolerance only has almost orthogonal rotations
        u, _, v = np.linalg.svd(vectors @ rotation @ np.linalg.inv(vectors))
        rotations.append(u @ v)
    return np.array(rotations)
