"""Relaxation of atoms and cell."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixSymmetry
from ase.filters import FrechetCellFilter
from ase.optimize import BFGS, FIRE2, LBFGS, LBFGSLineSearch
from ase.optimize.optimize import Optimizer as Search
from ase.units import GPa
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_choice, require_numbers
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.workflows.checks import (
    require_apart,
    require_crystal,
    require_known_elements,
    require_no_vacuum,
    require_stress_labels,
)
from mlip_lammps.workflows.settings import STRAIN_SWITCH, require_settings
from mlip_lammps.workflows.symmetry import SYMMETRY_TOLERANCE, space_group
from mlip_lammps.workflows.tasks import Task, Tasks, digest, identity_of

MAX_STEPS = 1000
FORCE_TOLERANCE = 1e-3
CELLS = ("fixed", "free", "isotropic", "shape")
OPTIMIZERS = {"lbfgs": LBFGSLineSearch, "bfgs": BFGS, "fire": FIRE2}
Optimizer = Literal["lbfgs", "bfgs", "fire"]

_MOST_CALLS = 10
"""Most energies of a line search: it needs two or three, and dozens where their noise exceeds what a step gains."""
_STOPS = ("optimizer", "style", "n_ranks", "force_tolerance", "max_steps")
"""Options that do not move the minimum: where only these differ, a relaxation continues from the last geometry."""


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
        Number of optimiser steps, without those of an interrupted run.
    largest_force
        Largest force on an unconstrained atom, eV/angstrom.
    forces
        Forces in eV/angstrom, zero on fixed atoms, shape (n_atoms, 3).
    stress
        Stress in eV/angstrom^3, shape (6,), Voigt order xx yy zz yz xz xy; None if the cell was fixed.
    space_group
        International symbol and number of a crystal within ``SYMMETRY_TOLERANCE``; None for other structures.
    residual_stress_gpa
        Largest difference from the target pressure of a stress whose strain moved, GPa; None if the cell was fixed.
    """

    atoms: Atoms
    energy: float
    energy_before: float
    n_steps: int
    largest_force: float
    forces: NDArray[np.float64] = field(repr=False)
    stress: NDArray[np.float64] | None
    space_group: str | None
    residual_stress_gpa: float | None = None

    @property
    def pressure_gpa(self) -> float | None:
        """Pressure in GPa, or None if the cell was fixed."""
        return None if self.stress is None else float(-self.stress[:3].mean() / GPa)


def relax(
    atoms: Atoms,
    calculator: Calculator,
    *,
    cell: Literal["fixed", "free", "isotropic", "shape"] = "fixed",
    pressure_gpa: float = 0.0,
    mask: Sequence[bool] | None = None,
    keeps_symmetry: bool = False,
    optimizer: Optimizer = "lbfgs",
    force_tolerance: float = FORCE_TOLERANCE,
    max_steps: int = MAX_STEPS,
    trajectory: Path | None = None,
) -> Relaxation:
    """Relax the atoms, and optionally the cell, until the forces are below the tolerance.

    Parameters
    ----------
    atoms
        Initial structure, which is not changed; ASE constraints apply.
    calculator
        ASE calculator, with stress if the cell moves.
    cell
        ``fixed``; ``free``: all six strains; ``isotropic``: only the volume; ``shape``: at constant volume.
    pressure_gpa
        Target pressure in GPa, for a cell that moves.
    mask
        Which strains of a free cell may change, order xx yy zz yz xz xy; all if None.
    keeps_symmetry
        Whether to keep the space group of the start.
    optimizer
        ``lbfgs``: quasi-Newton with a line search, continued without one where energies are too noisy for it, and with
        ``bfgs`` if the search fails; ``bfgs``: quasi-Newton with the whole matrix, for a few dozen atoms; ``fire``:
        damped dynamics, for a start far from a minimum.
    force_tolerance
        Limit for the largest force in eV/angstrom, and for the strain gradient per atom in eV.
    max_steps
        Maximum number of optimiser steps.
    trajectory
        Extended XYZ file for the structure at each step. If it exists, the relaxation continues from its last step.

    Raises
    ------
    UserInputError
        If a setting is invalid, atoms overlap, the model does not know an element, or the cell shall move and the
        structure is not a crystal or the model was trained without stresses.
    MlipError
        If ``max_steps`` or the numerical precision is not sufficient; the message states the remaining force.
    """
    require_relaxable(atoms, calculator, cell, mask, optimizer, pressure_gpa, force_tolerance, max_steps)
    moved = atoms.copy()
    moved.info = global_inputs_in(atoms.info)  # the rest may be what extended XYZ cannot store
    moved.calc = calculator
    before = moved.get_potential_energy()
    if trajectory is not None:
        continue_from(moved, trajectory)
    if keeps_symmetry:
        moved.set_constraint([*moved.constraints, FixSymmetry(moved, symprec=SYMMETRY_TOLERANCE)])
    target = _target(moved, cell, mask, pressure_gpa)
    with warnings.catch_warnings():
        # of the strain of FrechetCellFilter; the error that it states is 1e-12
        warnings.filterwarnings("ignore", message="logm result may be inaccurate", category=RuntimeWarning)
        n_steps, is_done = _search(target, moved, optimizer, force_tolerance, max_steps, trajectory)
    largest = float(np.linalg.norm(moved.get_forces(), axis=1).max(initial=0.0))
    if not is_done:
        raise MlipError(
            f"{moved.symbols} did not relax in {max_steps} steps: the largest force is {largest:.2g} "
            f"eV/angstrom, expected {force_tolerance:g}; allow more steps{_or_float64(calculator)}, or start closer to "
            "the minimum"
        )
    energy, forces = moved.get_potential_energy(), moved.get_forces()
    stress = None if cell == "fixed" else moved.get_stress()
    moved.calc = None
    moved.set_constraint(atoms.constraints)
    moved.info = dict(atoms.info)
    residual = None if stress is None else residual_stress(stress, cell, mask, pressure_gpa)
    return Relaxation(moved, energy, before, n_steps, largest, forces, stress, space_group(moved), residual)


def relax_all(
    structures: Mapping[str, Atoms],
    calculator: Calculator,
    *,
    stage: str = "relaxing",
    tasks: Tasks | None = None,
    **options: Any,
) -> dict[str, Relaxation | MlipError]:
    """Relax several structures side by side.

    Parameters
    ----------
    structures
        Initial structures by name. The names are also those of the trajectory files.
    calculator
        See `relax`.
    stage
        Name in progress reports.
    tasks
        Where to relax; with a folder, each structure has a trajectory in it. A relaxation that was interrupted or did
        not finish in ``max_steps`` continues from its last step.
    **options
        Options of `relax`.

    Returns
    -------
    dict
        For each name the result, or the error of a structure that did not relax.

    Raises
    ------
    UserInputError
        See `relax`; before any structure is relaxed.
    """
    tasks = tasks or Tasks()
    checked = {key: value for key, value in options.items() if key not in ("keeps_symmetry", "trajectory")}
    for name, atoms in structures.items():
        try:
            require_relaxable(atoms, calculator, **checked)
        except UserInputError as error:
            raise UserInputError(f"{name}: {error}") from error
    return map_relaxations(relax_task, stage, structures, calculator, tasks, options)


def map_relaxations(
    task: Task, stage: str, structures: Mapping[str, Atoms], calculator: Calculator, tasks: Tasks, options: dict
) -> dict[str, Relaxation | MlipError]:
    """Relax structures with a task such as `relax_task`, which continues the trajectory in its item."""
    minimum = {key: value for key, value in options.items() if key not in _STOPS}
    items = []
    for name, atoms in structures.items():
        item = {"atoms": atoms, "options": options}
        if tasks.folder is not None:
            key = digest([task.__qualname__, identity_of(calculator), atoms, minimum])[:8]
            item["trajectory"] = str(tasks.folder / "trajectories" / f"{name}-{key}.extxyz")
        items.append(item)
    found = tasks.map(stage, task, calculator, items)
    return {name: relaxation_from(table) for name, table in zip(structures, found, strict=True)}


def relax_each(structures: Mapping[str, Atoms], calculator: Calculator, **options: Any) -> dict[str, Relaxation]:
    """Return the result of `relax_all`, but raise the error of the first structure that did not relax."""
    found = relax_all(structures, calculator, **options)
    for name, result in found.items():
        if isinstance(result, MlipError):
            raise MlipError(f"{name}: {result}") from result
    return found


def relax_task(
    calculator: Calculator, item: dict[str, Any], function: Callable[..., Relaxation] = relax
) -> dict[str, Any]:
    """Relax one structure as a task of `Tasks`: options and results as JSON, see `relaxation_from`."""
    trajectory = item.get("trajectory")
    try:
        found = function(
            item["atoms"], calculator, trajectory=Path(trajectory) if trajectory else None, **item.get("options", {})
        )
    except UserInputError:
        raise
    except MlipError as error:
        return {"error": str(error)}
    return dict(vars(found))


def relaxation_from(table: dict[str, Any]) -> Relaxation | MlipError:
    """Return the result of `relax_task`, or the error of a structure that did not relax."""
    return MlipError(table["error"]) if "error" in table else Relaxation(**table)


def require_search(optimizer: str, force_tolerance: float, max_steps: int) -> None:
    """Raise ``UserInputError`` unless these are settings of `relax`."""
    require_choice("optimizer", optimizer, tuple(OPTIMIZERS))
    require_settings(force_tolerance=force_tolerance, max_steps=max_steps)


def require_relaxable(
    atoms: Atoms,
    calculator: Calculator,
    cell: str = "fixed",
    mask: Sequence[bool] | None = None,
    optimizer: str = "lbfgs",
    pressure_gpa: float = 0.0,
    force_tolerance: float = FORCE_TOLERANCE,
    max_steps: int = MAX_STEPS,
) -> None:
    """Raise ``UserInputError`` if `relax` cannot start; see there."""
    require_choice("cell", cell, CELLS)
    require_settings(pressure_gpa=pressure_gpa)
    require_search(optimizer, force_tolerance, max_steps)
    if mask is not None:
        require_numbers("mask", [int(m) if isinstance(m, bool | np.bool_) else m for m in mask], STRAIN_SWITCH, n=6)
    if mask is not None and (cell != "free" or not any(mask)):
        raise UserInputError(
            f"the mask is {' '.join(str(int(m)) for m in mask)} for a {cell} cell, expected a free cell and not all 0"
        )
    if pressure_gpa and cell in ("fixed", "shape"):
        raise UserInputError(f"the pressure is {pressure_gpa:g} GPa, but the volume is fixed; let it move: cell free")
    require_known_elements(atoms, calculator)
    if cell == "fixed":
        require_apart(atoms)
    else:
        require_crystal(atoms, "a cell that moves needs")
        require_stress_labels(calculator, "a relaxed cell needs stresses")
        if mask is None:
            require_no_vacuum(atoms, calculator, "a cell that moves without a mask needs")


def residual_stress(
    stress: NDArray[np.float64], cell: str, mask: Sequence[bool] | None, pressure_gpa: float
) -> float:
    """Return the largest difference from the target pressure of a stress whose strain moves, in GPa.

    Parameters
    ----------
    stress
        Stress in eV/angstrom^3, shape (6,).
    cell, mask, pressure_gpa
        See `relax`.
    """
    excess = np.array(stress) / GPa
    excess[:3] += pressure_gpa
    mean = excess[:3].mean()
    if cell == "isotropic":
        return float(abs(mean))
    if cell == "shape":
        excess[:3] -= mean
    return float(np.abs(excess if mask is None else excess[np.array(mask, dtype=bool)]).max())


def _or_float64(calculator: Calculator) -> str:
    dtype = getattr(getattr(calculator, "model", None), "metadata", {}).get("dtype")
    return "" if dtype in (None, "float64") else ", give a model in float64"


def _target(atoms: Atoms, cell: str, mask: Sequence[bool] | None, pressure_gpa: float) -> Atoms | FrechetCellFilter:
    if cell == "fixed":
        return atoms
    return FrechetCellFilter(
        atoms,
        mask=None if mask is None else [bool(m) for m in mask],
        hydrostatic_strain=cell == "isotropic",
        constant_volume=cell == "shape",
        scalar_pressure=pressure_gpa * GPa,
    )


def _search(
    target: Atoms | FrechetCellFilter,
    moved: Atoms,
    optimizer: str,
    force_tolerance: float,
    max_steps: int,
    trajectory: Path | None,
) -> tuple[int, bool]:
    """Move to the minimum; return the number of steps, and whether the forces are below the tolerance."""
    if trajectory is not None:
        trajectory.parent.mkdir(parents=True, exist_ok=True)
    n_steps, is_done, kind = 0, None, OPTIMIZERS[optimizer]
    while is_done is None:
        search = kind(target, logfile=None)
        if trajectory is not None:
            search.attach(lambda: ase.io.write(trajectory, moved, format="extxyz", append=True))
        if kind is LBFGSLineSearch:
            search.attach(_LineSearchWatch(search))
        try:
            is_done = search.run(fmax=force_tolerance, steps=max_steps - n_steps)
        except _NoisyEnergy:
            kind = LBFGS
        except RuntimeError as error:
            if "LineSearch" not in str(error):  # an error of the calculator
                raise
            kind = BFGS  # also where forces are not smooth
        n_steps += search.get_number_of_steps()
    return n_steps, bool(is_done)


class _NoisyEnergy(Exception):
    """A line search did not find a lower energy in a few evaluations."""


class _LineSearchWatch:
    """Ends a search after a step with many evaluations."""

    def __init__(self, search: Search):
        self.search = search
        self.n_calls = 0

    def __call__(self) -> None:
        n_new = self.search.function_calls - self.n_calls
        self.n_calls += n_new
        if n_new > _MOST_CALLS:
            raise _NoisyEnergy


def continue_from(atoms: Atoms, trajectory: Path) -> None:
    """Move to the last complete step of a trajectory."""
    if not trajectory.is_file():
        return
    steps = []
    try:
        steps.extend(ase.io.iread(trajectory, index=":", format="extxyz"))
    except Exception:  # the last step is incomplete; each cut raises another exception
        ase.io.write(trajectory, steps, format="extxyz")
    if steps:
        atoms.set_cell(steps[-1].cell)
        atoms.set_positions(steps[-1].positions, apply_constraint=False)
