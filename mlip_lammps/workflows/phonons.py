"""Harmonic phonons from finite displacements."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import ArrayLike, NDArray
from phonopy import Phonopy
from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import guess_primitive_matrix

from mlip_lammps.core.errors import UserInputError

DISPLACEMENT = 0.01


@dataclass(frozen=True)
class PhononFrequencies:
    """Frequencies at some points of the Brillouin zone.

    Attributes
    ----------
    q_points
        In reciprocal vectors of the primitive cell, shape (n_q, 3).
    freq_thz
        In rising order, an imaginary one as a negative number, shape (n_q, n_modes).
    n_displacements
        Supercells that were evaluated.
    """

    q_points: NDArray[np.float64]
    freq_thz: NDArray[np.float64]
    n_displacements: int


def phonon_frequencies(
    atoms: Atoms,
    calculator: Calculator,
    supercell: Sequence[int],
    q_points: ArrayLike,
    displacement: float = DISPLACEMENT,
) -> PhononFrequencies:
    """Return phonon frequencies of a relaxed crystal.

    Parameters
    ----------
    atoms
        A relaxed periodic crystal; phonopy finds its primitive cell.
    calculator
        Of ASE.
    supercell
        Repeats along each cell vector; force constants reach half of it.
    q_points
        In reciprocal vectors of phonopy's primitive cell, shape (n_q, 3). For a face-centred cubic crystal X is
        (1/2, 0, 1/2) and L is (1/2, 1/2, 1/2).
    displacement
        Angstrom.

    Raises
    ------
    UserInputError
        If the crystal is not periodic, or ``supercell`` are no three numbers of 1 or more.
    """
    if not atoms.pbc.all():
        raise UserInputError("the structure is not periodic in all directions; phonons need a crystal")
    if len(supercell) != 3 or min(supercell) < 1:
        raise UserInputError(f"supercell is {tuple(supercell)}, expected three numbers of 1 or more")
    phonons = _harmonic(atoms, calculator, supercell, displacement)
    points = np.atleast_2d(np.asarray(q_points, dtype=np.float64))
    phonons.run_qpoints(points)
    return PhononFrequencies(
        q_points=points,
        freq_thz=np.array(phonons.qpoints.frequencies),
        n_displacements=len(phonons.supercells_with_displacements),
    )


def _harmonic(atoms: Atoms, calculator: Calculator, supercell: Sequence[int], displacement: float) -> Phonopy:
    """Return phonopy with the force constants that the calculator gives."""
    crystal = PhonopyAtoms(
        symbols=atoms.get_chemical_symbols(), cell=atoms.cell[:], scaled_positions=atoms.get_scaled_positions()
    )
    phonons = Phonopy(crystal, supercell_matrix=np.diag(supercell), primitive_matrix=guess_primitive_matrix(crystal))
    phonons.generate_displacements(distance=displacement)
    forces = []
    for displaced in phonons.supercells_with_displacements:
        moved = Atoms(displaced.symbols, cell=displaced.cell, scaled_positions=displaced.scaled_positions, pbc=True)
        moved.calc = calculator
        forces.append(moved.get_forces())
    phonons.forces = forces
    phonons.produce_force_constants()
    # the sum rules that rounding and the reach of the supercell break a little
    phonons.symmetrize_force_constants()
    return phonons
