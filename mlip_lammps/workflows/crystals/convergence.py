"""Convergence of phonon frequencies with the supercell."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from mlip_lammps.workflows.crystals.force_constants import DISPLACEMENT, build_phonopy, find_force_constants
from mlip_lammps.workflows.crystals.phonons import prepare_crystal, run_bands
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.symmetry import SYMMETRY_TOLERANCE
from mlip_lammps.workflows.tasks import Tasks


@dataclass(frozen=True)
class SupercellStep:
    """One supercell of a convergence test.

    Attributes
    ----------
    supercell
        Repeats of the given cell.
    n_atoms
        Number of atoms.
    largest_change_thz
        Largest change of a frequency on the path from the previous supercell; None for the first.
    """

    supercell: tuple[int, int, int]
    n_atoms: int
    largest_change_thz: float | None


def converge_supercell(
    atoms: Atoms,
    calculator: Calculator,
    supercell: Sequence[int] | None = None,
    *,
    tolerance_thz: float = 0.1,
    n_most: int = 4,
    displacement: float = DISPLACEMENT,
    symmetry_tolerance: float = SYMMETRY_TOLERANCE,
    tasks: Tasks | None = None,
) -> tuple[SupercellStep, ...]:
    """Enlarge the supercell until no frequency on the path changes by more than a tolerance.

    Parameters
    ----------
    atoms, calculator, displacement, symmetry_tolerance, tasks
        See ``phonons``.
    supercell
        The first supercell; if None, that of ``phonons``.
    tolerance_thz
        Largest change of a frequency in THz.
    n_most
        Largest number of supercells.

    Raises
    ------
    UserInputError
        See ``phonons``.
    """
    require_settings(tolerance_thz=tolerance_thz, n_most=n_most, displacement=displacement)
    symmetric, _, supercell = prepare_crystal(atoms, calculator, supercell, symmetry_tolerance)
    steps: list[SupercellStep] = []
    before: NDArray[np.float64] | None = None
    for _ in range(n_most):
        crystal = build_phonopy(symmetric, supercell)
        find_force_constants([crystal], calculator, displacement, tasks)
        found = np.concatenate(run_bands(crystal).freq_thz)
        change = None if before is None else float(np.abs(found - before).max())
        steps.append(SupercellStep(supercell, len(crystal.supercell), change))
        if change is not None and change <= tolerance_thz:
            break
        before = found
        supercell = tuple(n + 1 for n in supercell)
    return tuple(steps)
