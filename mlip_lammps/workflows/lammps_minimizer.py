"""Relaxation with ``minimize`` of LAMMPS on several ranks, for structures that are large enough to be divided.

This module is also the program of a rank: ``mpiexec -n N python -m mlip_lammps.workflows.lammps_minimizer FOLDER``.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms
from ase.geometry import find_mic
from numpy.typing import NDArray

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.core.processes import python_module
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.lammps.groups import fixed_ids, group_commands
from mlip_lammps.engines.lammps.rank import run_rank
from mlip_lammps.engines.mpi_process import MpiProcess
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.workflows.relaxation import (
    FORCE_TOLERANCE,
    MAX_STEPS,
    Relaxation,
    continue_from,
    map_relaxations,
    relax_task,
    require_relaxable,
    residual_stress,
)
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.symmetry import space_group
from mlip_lammps.workflows.tasks import Tasks

CELLS = {"fixed": None, "isotropic": "iso", "free": "tri"}
STYLES = ("cg", "fire")
LARGEST_STRESS_GPA = 0.02
"""Largest difference of the final stress from the target for a cell that moves."""

_BAR_PER_GPA = 1e4
_ROUNDS = 8
"""A box that has moved becomes the new reference, and the minimization starts again, at most so often."""


def minimize(
    atoms: Atoms,
    calculator: Calculator,
    *,
    n_ranks: int = 1,
    cell: Literal["fixed", "free", "isotropic"] = "fixed",
    pressure_gpa: float = 0.0,
    style: Literal["cg", "fire"] = "cg",
    force_tolerance: float = FORCE_TOLERANCE,
    max_steps: int = MAX_STEPS,
    trajectory: Path | None = None,
) -> Relaxation:
    """Relax a structure with LAMMPS.

    Parameters
    ----------
    atoms
        Initial structure, which is not changed; ``FixAtoms`` constraints apply, others are refused.
    calculator
        ``MlipCalculator``, whose model file LAMMPS runs.
    n_ranks
        Number of MPI ranks that share the structure.
    cell, pressure_gpa
        See ``relax``; LAMMPS uses ``fix box/relax``.
    style
        ``min_style`` of LAMMPS. A cell that moves needs ``cg``.
    force_tolerance
        Limit for the largest force in eV/angstrom.
    max_steps
        Maximum number of steps.
    trajectory
        Extended XYZ file for a structure that did not relax. If it exists, the minimization starts from it.

    Raises
    ------
    UserInputError
        If a setting or a constraint is not supported, or see ``relax``.
    MlipError
        If the forces or the stress do not fall below their limits, or LAMMPS fails.
    """
    model = getattr(calculator, "model", None)
    if getattr(model, "path", None) is None:
        raise UserInputError(f"{type(calculator).__name__} has no model file that LAMMPS can run; use relax")
    if cell not in CELLS or style not in STYLES or (cell != "fixed" and style != "cg"):
        raise UserInputError(
            f"LAMMPS cannot relax a cell {cell!r} with style {style!r}, expected one of {', '.join(CELLS)} with cg, "
            "or a fixed cell with fire"
        )
    if any(not isinstance(constraint, FixAtoms) for constraint in atoms.constraints):
        raise UserInputError("the structure has other constraints than FixAtoms, which only relax applies")
    require_settings(n_ranks=n_ranks)
    limits = {"pressure_gpa": pressure_gpa, "force_tolerance": force_tolerance, "max_steps": max_steps}
    require_relaxable(atoms, calculator, cell, **limits)
    fixed = fixed_ids(atoms)
    info = global_inputs_in(atoms.info)
    given = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=info)
    start = given.copy()
    if trajectory is not None:
        continue_from(start, trajectory)
    settings = {"cell": cell, "style": style, "fixed": fixed, **limits}
    with TemporaryDirectory(prefix="mlip-lammps-") as scratch:
        Path(scratch, "job.pickle").write_bytes(pickle.dumps((given, start, str(Path(model.path).resolve()), settings)))
        program = [*python_module("mlip_lammps.workflows.lammps_minimizer"), scratch]
        with MpiProcess(program, n_ranks, name="LAMMPS", environment=rank_environment()) as process:
            for _ in process.lines():
                pass
        found = pickle.loads(Path(scratch, "result.pickle").read_bytes())
    relaxed = atoms.copy()
    relaxed.set_cell(found["cell"])
    relaxed.set_positions(found["positions"], apply_constraint=False)
    forces = np.array(found["forces"])
    forces[np.array(fixed, dtype=int) - 1] = 0.0
    largest = float(np.linalg.norm(forces, axis=1).max())
    stress = None if cell == "fixed" else found["stress"]
    try:
        _require_converged(relaxed, largest, stress, settings)
    except MlipError:
        if trajectory is not None:
            trajectory.parent.mkdir(parents=True, exist_ok=True)
            ase.io.write(trajectory, Atoms(atoms.numbers, relaxed.positions, cell=relaxed.cell, pbc=atoms.pbc))
        raise
    numbers = (found[name] for name in ("energy", "energy_before", "n_steps"))
    residual = None if stress is None else residual_stress(stress, cell, None, pressure_gpa)
    return Relaxation(relaxed, *numbers, largest, forces, stress, space_group(relaxed), residual)


def minimize_all(
    structures: Mapping[str, Atoms], calculator: Calculator, *, tasks: Tasks, **options: Any
) -> dict[str, Relaxation | MlipError]:
    """Minimize structures one after another, each on all ranks, like ``relax_all``; see `minimize` for the options."""
    alone = Tasks(tasks.folder, 1, tasks.report)
    return map_relaxations(_minimize_task, "minimizing", structures, calculator, alone, options)


def _minimize_task(calculator: Calculator, item: dict[str, Any]) -> dict[str, Any]:
    return relax_task(calculator, item, minimize)


def _require_converged(
    atoms: Atoms, largest: float, stress: NDArray[np.float64] | None, settings: dict[str, Any]
) -> None:
    if largest > settings["force_tolerance"]:
        raise MlipError(
            f"{atoms.symbols} did not relax in {settings['max_steps']} steps of LAMMPS: the largest force is "
            f"{largest:.2g} eV/angstrom, expected {settings['force_tolerance']:g}; allow more steps"
        )
    if stress is None:
        return
    off = residual_stress(stress, settings["cell"], None, settings["pressure_gpa"])
    if off > LARGEST_STRESS_GPA:
        raise MlipError(
            f"the cell of {atoms.symbols} did not relax in LAMMPS: its stress is {off:.3f} GPa off, expected "
            f"{LARGEST_STRESS_GPA:g}; allow more steps, or use relax"
        )


def _main(folder: Path) -> None:
    """Run LAMMPS; every rank calls this."""
    from mlip_lammps.engines.lammps.session import LammpsSession

    given, atoms, model, settings = pickle.loads((folder / "job.pickle").read_bytes())
    kind, target_bar = CELLS[settings["cell"]], settings["pressure_gpa"] * _BAR_PER_GPA
    with LammpsSession() as session:
        session.set_structure(given)
        session.set_model(model)
        before = session.evaluate()
        session.set_structure(atoms)
        session.set_model(model)
        session.evaluate()
        start = session.positions()
        session.run_commands(f"min_style {settings['style']}\nmin_modify norm max dmax 0.1")
        if settings["fixed"]:
            commands = [*group_commands("mlip_fixed", settings["fixed"]), "fix mlip_fixed mlip_fixed setforce 0 0 0"]
            session.run_commands("\n".join(commands))
        n_steps = 0
        for _ in range(1 if kind is None else _ROUNDS):
            if kind is not None:
                session.run_commands(f"fix mlip_box all box/relax {kind} {target_bar:.17g} vmax 0.002")
            left = settings["max_steps"] - n_steps
            session.run_commands(f"minimize 0 {0.9 * settings['force_tolerance']:.17g} {left} {10 * left}")
            taken = int(session.lammps.get_thermo("step")) - n_steps
            n_steps += taken
            if kind is not None:
                session.run_commands("unfix mlip_box")
            if taken <= 1 or n_steps >= settings["max_steps"]:
                break
        found = session.evaluate()
        places, cell = session.positions(), _cell(session) if kind is not None else atoms.cell[:]
        if session.communicator.rank == 0:
            result = {
                "cell": cell, "positions": _unwrapped(places, cell, start, atoms, kind is not None),
                "forces": found.forces, "stress": found.stress if all(atoms.pbc) else None,
                "energy": found.energy, "energy_before": before.energy, "n_steps": n_steps,
            }  # fmt: skip
            (folder / "result.pickle").write_bytes(pickle.dumps(result))


def _cell(session: Any) -> NDArray[np.float64]:
    """Return the cell vectors in the frame of the structure."""
    low, high, xy, yz, xz, *_ = session.lammps.extract_box()
    x, y, z = np.array(high) - np.array(low)
    return session._prism.vector_to_ase(np.array([[x, 0, 0], [xy, y, 0], [xz, yz, z]]))


def _unwrapped(
    places: NDArray[np.float64], cell: NDArray[np.float64], start: NDArray[np.float64], atoms: Atoms, is_moved: bool
) -> NDArray[np.float64]:
    """Return positions close to the initial ones: LAMMPS wraps atoms, and shifts all by the same vector."""
    if not is_moved:
        return atoms.positions + find_mic(places - start, atoms.cell, atoms.pbc)[0]
    scaled, before = (np.linalg.solve(c.T, p.T).T for c, p in ((cell, places), (atoms.cell[:], atoms.positions)))
    change = scaled - before
    change -= np.round(change - change[0]) + np.round(change[0])
    return (before + change - change.mean(axis=0)) @ cell


if __name__ == "__main__":
    run_rank(_main)
