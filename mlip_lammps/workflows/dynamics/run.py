"""Molecular dynamics with LAMMPS that continues after any interruption."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms

from mlip_lammps.analysis.lammps_trajectory import index_frames, read_frames
from mlip_lammps.core.arguments import require_instance
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.engines.lammps.box import in_lammps_frame
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.lammps.groups import fixed_ids
from mlip_lammps.engines.lammps.process import LammpsProcess, input_keywords, input_word
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.structure.lammps_data import write_lammps_data
from mlip_lammps.workflows.checks import (
    isotope_masses,
    require_apart,
    require_known_elements,
    require_stress_labels,
)
from mlip_lammps.workflows.dynamics.continuation import (
    log_file,
    newest_point,
    remove_output_after,
    thermo_rows,
)
from mlip_lammps.workflows.dynamics.lammps_input import (
    RESTARTS,
    SCRIPT,
    START,
    TRAJECTORY,
    restart_file,
    write_script,
)
from mlip_lammps.workflows.dynamics.settings import DynamicsSettings, timestep_warnings
from mlip_lammps.workflows.run_folder import checksum
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.tasks import Report, identity_of, write_csv, write_text

THERMO = "thermo.csv"
_IDENTITY = "trajectory.json"


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes
    ----------
    folder
        Folder with the files of the run.
    settings
        Settings of the run.
    last_step
        Last step; less than the number of steps if the committee stopped the run.
    warnings
        What speaks against the settings.
    fixed
        Atom IDs in the files, from 1 on, that did not move.
    masses
        Masses in amu by element, of isotopes.
    """

    folder: Path
    settings: DynamicsSettings
    last_step: int
    warnings: tuple[str, ...] = ()
    fixed: tuple[int, ...] = ()
    masses: Mapping[str, float] = field(default_factory=dict)

    def last_frame(self) -> Atoms:
        """Return the last frame of the trajectory, with atoms in the cell."""
        trajectory = self.folder / TRAJECTORY
        atoms = next(read_frames(trajectory, index_frames(trajectory)[-1].step)).atoms()
        atoms.wrap()
        return atoms


def run_dynamics(
    atoms: Atoms,
    calculator: Calculator | Sequence[Calculator],
    settings: DynamicsSettings,
    folder: Path | str,
    *,
    n_ranks: int = 1,
    allow_untrained_stress: bool = False,
    report: Report = lambda stage, n_done, n_steps: None,
) -> FinishedRun:
    """Run molecular dynamics, or continue a run in the same folder from its newest good restart file.

    Parameters
    ----------
    atoms
        Initial structure; atoms with a ``FixAtoms`` constraint do not move, other constraints are refused.
    calculator
        ``MlipCalculator``, whose model file LAMMPS runs; several form a committee, whose mean drives the atoms.
    folder
        Folder for the LAMMPS input, logs, trajectory and restart files; created if missing.
    n_ranks
        Number of MPI ranks.
    allow_untrained_stress
        Whether a barostat may use a model that was trained without stresses.
    report
        Called with a stage, finished steps and all steps.

    Raises
    ------
    UserInputError
        If the structure, the model and the settings do not fit, or the folder contains another or a longer run.
    MlipError
        If LAMMPS fails or output is missing; call the function again to continue.

    Notes
    -----
    A continued run on the same number of ranks takes the same steps as one that was never interrupted.
    """
    require_instance("atoms", atoms, Atoms, "an ase.Atoms object")
    require_settings(n_ranks=n_ranks)
    calculators = list(calculator) if isinstance(calculator, Sequence) else [calculator]
    _check(atoms, calculators, settings, allow_untrained_stress)
    masses, folder = isotope_masses(atoms), Path(folder)
    (folder / RESTARTS).mkdir(parents=True, exist_ok=True)
    _prepare(atoms, calculators, settings, masses, folder)
    n_done = max(thermo_rows(folder), default=0)
    if n_done > settings.n_steps:
        raise UserInputError(
            f"{folder} contains a run of {n_done} steps, longer than the {settings.n_steps} of time_ps "
            f"{settings.time_ps:g}; give a longer time, or another folder with --out"
        )
    first = newest_point(folder, settings)
    stopped_at = None
    if first < settings.n_steps:
        remove_output_after(folder, first)
        stopped_at = _run_lammps(calculators, folder, settings, first, n_ranks, report)
    rows = thermo_rows(folder)
    last = settings.n_steps if stopped_at is None else stopped_at
    if stopped_at is None and newest_point(folder, settings) != last:
        raise MlipError(
            f"the output in {folder} is not complete, as on a full disk; make room and run the same command again, "
            "which continues from the newest good restart file"
        )
    write_thermo_csv(folder / THERMO, rows)
    warnings = timestep_warnings(atoms, settings.timestep_fs)
    return FinishedRun(folder, settings, last, warnings, tuple(fixed_ids(atoms)), masses)


def _check(
    atoms: Atoms, calculators: Sequence[Calculator], settings: DynamicsSettings, allow_untrained_stress: bool
) -> None:
    require_instance("settings", settings, DynamicsSettings, "a DynamicsSettings")
    for calculator in calculators:
        if getattr(getattr(calculator, "model", None), "path", None) is None:
            raise UserInputError(f"{type(calculator).__name__} has no model file for LAMMPS; give MlipCalculator")
        require_known_elements(atoms, calculator)
        if settings.ensemble == "npt" and not allow_untrained_stress:
            require_stress_labels(calculator, "a barostat needs stresses")
    require_apart(atoms)
    if len(calculators) == 1 and (settings.stop_above is not None or settings.label_above is not None):
        raise UserInputError("a limit of the force deviation needs a committee; give two or more models")
    others = [one for one in atoms.constraints if not isinstance(one, FixAtoms)]
    if others:
        raise UserInputError(f"the structure has a constraint {type(others[0]).__name__}; only FixAtoms is supported")
    n_fixed = len(fixed_ids(atoms))
    if len(atoms) - n_fixed < 2:
        raise UserInputError(f"{len(atoms) - n_fixed} atoms of the structure can move; dynamics needs at least 2")
    if settings.ensemble == "npt":
        if n_fixed:
            raise UserInputError("the structure has fixed atoms, which a barostat would move; use nvt or nve")
        if not atoms.pbc.all():
            raise UserInputError("the structure is not periodic in all directions; a barostat needs a periodic cell")


def _prepare(
    atoms: Atoms,
    calculators: Sequence[Calculator],
    settings: DynamicsSettings,
    masses: Mapping[str, float],
    folder: Path,
) -> None:
    """Write structure and script, unless the folder has them already from another run."""
    elements, inputs = sorted(set(atoms.get_chemical_symbols())), global_inputs_in(atoms.info)
    fresh, (_, boxed) = folder / RESTARTS / START, in_lammps_frame(atoms)
    write_lammps_data(fresh, boxed, elements)
    identity = {
        "settings": settings.identity(),
        "start": checksum(fresh),
        "inputs": inputs,
        "fixed": fixed_ids(atoms),
        "models": [identity_of(calculator) for calculator in calculators],
    }
    if masses:
        identity["masses"] = masses
    identity = json.loads(json.dumps(identity, default=str))
    known = folder / _IDENTITY
    if known.is_file() and (found := json.loads(known.read_text())) != identity:
        changed = sorted(key for key in {*found, *identity} if found.get(key) != identity.get(key))
        if "settings" in changed:
            before, now = found["settings"], identity["settings"]
            changed += sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
            changed.remove("settings")
        fresh.unlink()
        raise UserInputError(
            f"{folder} contains a run that differs in {', '.join(changed)}; give another folder with --out, or delete "
            f"{folder} to start again"
        )
    fresh.rename(folder / START)
    boundary = " ".join("p" if periodic else "m" for periodic in atoms.pbc)
    models = [Path(calculator.model.path).resolve() for calculator in calculators]
    title = f"Molecular dynamics of {len(atoms)} atoms, {atoms.get_chemical_formula()}, {settings.ensemble}"
    defaults = {one.name: one.default for one in calculators[0].model.global_inputs}
    keywords = input_keywords(models[0], defaults | inputs)
    is_tilted = bool(np.any(boxed.cell[:][np.tril_indices(3, -1)]))
    of_atoms = fixed_ids(atoms), is_tilted, keywords, masses
    write_script(folder / SCRIPT, title, settings, elements, boundary, models, *of_atoms)
    write_text(known, json.dumps(identity, indent=1))


def _run_lammps(
    calculators: Sequence[Calculator],
    folder: Path,
    settings: DynamicsSettings,
    first: int,
    n_ranks: int,
    report: Report,
) -> int | None:
    """Run LAMMPS from step ``first`` on, and return the step at which the committee stopped it."""
    variables = {"models": " ".join(input_word(Path(one.model.path).resolve()) for one in calculators)}
    if first:
        variables["restart"] = restart_file(first)
    step, log = first, log_file(folder, first)
    with LammpsProcess(
        folder / SCRIPT, n_ranks, variables, log, environment=rank_environment(), working_folder=folder
    ) as process:
        for row in process.rows():
            step = int(row["Step"])
            report("running", step, settings.n_steps)
    return step if step < settings.n_steps else None


def write_thermo_csv(file: Path, rows: dict[int, dict[str, float]]) -> None:
    """Write the thermodynamic output as CSV, with the names and units of LAMMPS."""
    names = list(next(iter(rows.values())))
    body = [[step, *(f"{rows[step][name]:.15g}" for name in names[1:])] for step in sorted(rows)]
    write_csv(file, [names, *body])
