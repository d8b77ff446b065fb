"""Relaxation of atoms and cell."""

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
    """A relaxed structure.

    Attributes
    ----------
    atoms
        Relaxed copy of the given structure, without a calculator.
    energy
        Energy in eV.
    energy_before
        Energy of the given structure in eV.
    n_steps
        Number of optimiser steps.
    largest_force
        Largest force on an unconstrained atom, eV/angstrom.
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
    """Relax the atoms, and optionally the cell, until the forces are below the tolerance.

    Parameters
    ----------
    atoms
        Initial structure, which is not changed; ASE constraints apply.
    calculator
        ASE calculator, with stress if the cell moves.
    cell
        ``fixed``; ``free``: all six strains; ``isotropic``: only the volume.
    force_tolerance
        Limit for the largest force in eV/angstrom, and for the strain gradient per atom in eV.
    max_steps
        Maximum number of optimiser steps.
    is_rough
        Whether the start is far from a minimum: uses damped dynamics (FIRE) instead of a quasi-Newton search.

    Raises
    ------
    UserInputError
        If ``cell`` is not one of these three.
    MlipError
        If ``max_steps`` or the numerical precision is not sufficient; the message states the remaining force.
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
        if "LineSearch" not in str(error):  # an error of the calculator
            raise
        raise MlipError(
            f"{moved.symbols} did not relax: {error} The largest force is {_largest_force(moved):.2g} "
            f"eV/angstrom, expected {force_tolerance:g}; if the precision is too low, give a model in float64"
        ) from error
    largest = _largest_force(moved)
    if not is_done:
        raise MlipError(
            f"{moved.symbols} did not relax in {max_steps} steps: the largest force is {largest:.2g} "
            f"eV/angstrom, expected {force_tolerance:g}; allow more steps or start closer to the minimum"
        )
    energy = moved.get_potential_energy()
    moved.calc = None
    return Relaxation(moved, energy, before, optimizer.get_number_of_steps(), largest)


def _largest_force(atoms: Atoms) -> float:
    return float(np.linalg.norm(atoms.get_forces(), axis=1).max(initial=0.0))
