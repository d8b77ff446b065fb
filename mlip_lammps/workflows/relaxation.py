"""Relaxed structures: where do the atoms go, and the cell?"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE2, LBFGSLineSearch

from mlip_lammps.core.errors import MlipError, UserInputError

MAX_STEPS = 1000
FORCE_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Relaxation:
    """A structure at rest.

    Attributes
    ----------
    atoms
        A copy of what was given, moved; it carries no calculator.
    energy
        eV.
    energy_before
        Of the structure that was given, eV.
    n_steps
        Steps of the optimiser.
    largest_force
        Of the atoms that may move, eV/angstrom.
    """

    atoms: Atoms
    energy: float
    energy_before: float
    n_steps: int
    largest_force: float


def relax(
    atoms: Atoms,
    calculator: Calculator,
    *,
    cell: Literal["fixed", "free", "isotropic"] = "fixed",
    force_tolerance: float = FORCE_TOLERANCE,
    max_steps: int = MAX_STEPS,
    is_rough: bool = False,
) -> Relaxation:
    """Move atoms, and the cell where it is asked for, until the forces are gone.

    Parameters
    ----------
    atoms
        Where to start; constraints of ASE hold. Not changed.
    calculator
        Of ASE, with stress where the cell moves.
    cell
        ``fixed``; ``free``: all six strains; ``isotropic``: the volume alone.
    force_tolerance
        eV/angstrom, for the largest force, and for the gradient in the strains over the number of atoms in eV.
    max_steps
        Of the optimiser.
    is_rough
        Start far from a minimum: a damped dynamics (FIRE) in place of a quasi-Newton search.

    Raises
    ------
    UserInputError
        If ``cell`` is none of the three.
    MlipError
        If ``max_steps`` are not enough, or digits too few to go on, with the force that was left.
    """
    if cell not in ("fixed", "free", "isotropic"):
        raise UserInputError(f"cell is {cell!r}, expected fixed, free or isotropic")
    moved = atoms.copy()
    moved.calc = calculator
    before = moved.get_potential_energy()
    target = moved if cell == "fixed" else FrechetCellFilter(moved, hydrostatic_strain=cell == "isotropic")
    optimizer = (FIRE2 if is_rough else LBFGSLineSearch)(target, logfile=None)
    try:
        is_done = optimizer.run(fmax=force_tolerance, steps=max_steps)
    except RuntimeError as error:
        if "LineSearch" not in str(error):  # a fault of the calculator
            raise
        raise MlipError(
            f"{moved.symbols} did not come to rest: {error} The largest force is {_largest_force(moved):.2g} "
            f"eV/angstrom, expected {force_tolerance:g}; where digits are too few, give a model in float64"
        ) from error
    largest = _largest_force(moved)
    if not is_done:
        raise MlipError(
            f"{moved.symbols} did not come to rest in {max_steps} steps: the largest force is {largest:.2g} "
            f"eV/angstrom, expected {force_tolerance:g}; allow more steps or start nearer"
        )
    energy = moved.get_potential_energy()
    moved.calc = None
    return Relaxation(moved, energy, before, optimizer.get_number_of_steps(), largest)


def _largest_force(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max(initial=0.0))
