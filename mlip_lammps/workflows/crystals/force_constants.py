"""Force constants of a crystal from finite displacements, with phonopy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import guess_primitive_matrix

from mlip_lammps.core.arguments import COUNT, require_numbers
from mlip_lammps.workflows.checks import isotope_masses
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.symmetry import EXACT
from mlip_lammps.workflows.tasks import Tasks

DISPLACEMENT = 0.01

ROUGH = 0.01
"""Relative violation of exact relations above which forces are not smooth; rounding in mixed precision stays below."""

_N_SYMMETRIZATIONS = 15
"""Rows of one primitive cell converge to both exact relations; the violation falls by 8 in each."""


@dataclass(frozen=True)
class Residuals:
    """Violation of exact relations by the computed force constants, before these relations are restored.

    Attributes
    ----------
    sum_rule
        Largest sum of the force constants of an atom over all others, eV/angstrom^2. A common shift of all atoms must
        cost no energy.
    symmetry
        Largest difference of two force constants that are equal because derivatives commute, eV/angstrom^2.
    largest
        Largest force constant, eV/angstrom^2, for comparison.
    """

    sum_rule: float
    symmetry: float
    largest: float

    @property
    def are_large(self) -> bool:
        """Whether a violation exceeds `ROUGH` of the largest force constant."""
        return max(self.sum_rule, self.symmetry) > ROUGH * self.largest


def build_phonopy(symmetric: Atoms, supercell: Sequence[int]) -> Phonopy:
    """Return phonopy for a symmetrised crystal; its primitive cell is determined automatically.

    Parameters
    ----------
    supercell
        Repeats along each cell vector.

    Raises
    ------
    UserInputError
        If ``supercell`` is not three numbers of 1 or more.
    """
    require_numbers("supercell", supercell, COUNT, n=3)
    cell = phonopy_cell(symmetric)
    return Phonopy(
        cell, supercell_matrix=np.diag(supercell), primitive_matrix=primitive_matrix(cell), symprec=EXACT
    )


def phonopy_cell(atoms: Atoms) -> PhonopyAtoms:
    """Return a structure as a cell of phonopy."""
    return PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(),
        cell=atoms.cell[:],
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses() if isotope_masses(atoms) else None,
    )


def primitive_matrix(cell: PhonopyAtoms) -> NDArray[np.float64]:
    """Return the vectors of the primitive cell in those of a symmetrised crystal, as phonopy takes them."""
    return guess_primitive_matrix(cell, symprec=EXACT)


def to_ase(cell: PhonopyAtoms) -> Atoms:
    """Return a cell of phonopy as a structure of ASE."""
    return Atoms(cell.symbols, cell=cell.cell, scaled_positions=cell.scaled_positions, pbc=True)


def find_force_constants(
    crystals: Sequence[Phonopy], calculator: Calculator, displacement: float = DISPLACEMENT, tasks: Tasks | None = None
) -> list[Residuals]:
    """Compute the force constants of one or more crystals from the calculator's forces.

    Parameters
    ----------
    crystals
        See `build_phonopy`; they receive their force constants.
    displacement
        Displacement of atoms in angstrom.
    tasks
        Where the forces are computed; those of all crystals side by side.

    Returns
    -------
    list of Residuals
        One for each crystal.
    """
    require_settings(displacement=displacement)
    items = []
    for phonopy in crystals:
        phonopy.generate_displacements(distance=displacement)
        items += [to_ase(displaced) for displaced in phonopy.supercells_with_displacements]
    forces = iter((tasks or Tasks()).map("displacements", force_task, calculator, items))
    found = []
    for phonopy in crystals:
        phonopy.forces = [next(forces) for _ in phonopy.supercells_with_displacements]
        # only the rows of one primitive cell: the others repeat them, and take long in a large supercell
        phonopy.produce_force_constants(calculate_full_force_constants=False, show_drift=False)
        found.append(_residuals(phonopy))
        # restore the relations, which rounding and the finite supercell break slightly
        phonopy.symmetrize_force_constants(level=_N_SYMMETRIZATIONS, show_drift=False)
    return found


def force_task(calculator: Calculator, atoms: Any) -> NDArray[np.float64]:
    """Return the forces in eV/angstrom, shape (n_atoms, 3), as a task of `Tasks`."""
    moved = atoms.copy()
    moved.calc = calculator
    return moved.get_forces()


def _residuals(phonopy: Phonopy) -> Residuals:
    """Return the residuals of force constants with the rows of one primitive cell."""
    force_constants, rows = phonopy.force_constants, phonopy.primitive.p2s_map
    transposed = _transposed(force_constants, rows, phonopy.primitive.atomic_permutations)
    return Residuals(
        sum_rule=float(np.abs(force_constants.sum(axis=1)).max()),
        symmetry=float(np.abs(force_constants - transposed).max()),
        largest=float(np.abs(force_constants).max()),
    )


def _transposed(
    force_constants: NDArray[np.float64], rows: NDArray[np.int64], permutations: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the force constants with both atoms and directions exchanged, shape (n_rows, n_atoms, 3, 3).

    Parameters
    ----------
    force_constants
        Shape (n_rows, n_atoms, 3, 3), in eV/angstrom^2.
    rows
        Atoms of one primitive cell, shape (n_rows,).
    permutations
        Where each translation moves each atom, shape (n_translations, n_atoms).
    """
    row_of = np.full(permutations.shape[1], -1)
    row_of[rows] = np.arange(len(rows))
    translation = (row_of[permutations] >= 0).argmax(axis=0)  # which moves each atom to the primitive cell
    moved = permutations[translation]
    own = row_of[moved.diagonal()]
    return force_constants[own[None], moved[:, rows].T].transpose(0, 1, 3, 2)
