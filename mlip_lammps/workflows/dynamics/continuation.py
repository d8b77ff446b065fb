"""What a run has finished: its thermodynamic output, its trajectories, and the restart file to continue from.

A restart file counts only if LAMMPS can read it and all output up to its step exists. A killed process, a full disk
or a power failure may damage the newest files; then an older restart file is used.
"""

import os
import re
from pathlib import Path

import numpy as np

from mlip_lammps.analysis.lammps_trajectory import index_frames
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.lammps.process import LammpsProcess, ThermoReader, input_word, message_in
from mlip_lammps.engines.mpi_process import MpiRunError
from mlip_lammps.workflows.dynamics.lammps_input import LABELLING, RESTARTS, TRAJECTORY, VELOCITIES, restart_file
from mlip_lammps.workflows.dynamics.settings import DynamicsSettings

_HARMLESS = (
    "Triclinic box skew is large",
    "Temperature for thermo pressure is not for group all",
    "Temperature for fix modify is not for group all",
)
"""Warnings with right results: about every primitive cell of fcc crystals, and about fixed atoms."""
_LOG = re.compile(r"log\.(\d+)\.lammps")


def log_file(folder: Path, first_step: int) -> Path:
    """Return the log of the process that starts at ``first_step``."""
    return folder / f"log.{first_step}.lammps"


def lammps_warnings(folder: Path) -> list[str]:
    """Return the different warnings in the logs, without the place in the source of LAMMPS."""
    found: dict[str, None] = {}
    for _, log in sorted(_logs(folder).items()):
        with log.open(errors="replace") as lines:
            for line in lines:
                message = message_in(line)
                if message and message[0] == "WARNING" and not message[1].startswith(_HARMLESS):
                    found.setdefault(message[1])
    return list(found)


def thermo_rows(folder: Path) -> dict[int, dict[str, float]]:
    """Return the thermodynamic output by step; each log replaces rows of earlier ones from its first step on."""
    rows: dict[int, dict[str, float]] = {}
    for first, log in sorted(_logs(folder).items()):
        rows = {step: row for step, row in rows.items() if step < first}
        reader = ThermoReader()
        with log.open(errors="replace") as lines:
            for line in lines:
                row = reader.read(line) if line.endswith("\n") else None
                if row and np.isfinite(list(row.values())).all():
                    rows[int(row["Step"])] = row
    return rows


def newest_point(folder: Path, settings: DynamicsSettings) -> int:
    """Return the step of the newest restart file to continue from; 0 if the run has to start again."""
    names = [file.stem for file in (folder / RESTARTS).glob("*.restart")]
    steps = sorted((int(name) for name in names if name.isdigit()), reverse=True)
    rows = thermo_rows(folder) if steps else {}
    for step in steps:
        is_output_there = _has_output_until(folder, settings, rows, step)
        if step <= settings.n_steps and is_output_there and _is_readable(folder, step):
            return step
    return 0


def remove_output_after(folder: Path, step: int) -> None:
    """Remove what LAMMPS writes again when it continues from ``step``: frames, logs and newer restart files."""
    for name in (TRAJECTORY, VELOCITIES, LABELLING):
        if (file := folder / name).is_file():
            kept = [frame.end for frame in index_frames(file) if frame.step <= step and step]
            os.truncate(file, kept[-1] if kept else 0)
    for file in (folder / RESTARTS).iterdir():
        if not file.stem.isdigit() or int(file.stem) > step:
            file.unlink()
    for first, log in _logs(folder).items():
        if first > step:
            log.unlink()


def _logs(folder: Path) -> dict[int, Path]:
    return {int(match[1]): file for file in folder.iterdir() if (match := _LOG.fullmatch(file.name))}


def _has_output_until(
    folder: Path, settings: DynamicsSettings, rows: dict[int, dict[str, float]], step: int
) -> bool:
    if any(at not in rows for at in range(0, step + 1, settings.thermo_every)):
        return False
    for name, every in ((TRAJECTORY, settings.trajectory_every), (VELOCITIES, settings.velocities_every)):
        if every is not None:
            found = [frame.step for frame in index_frames(folder / name) if frame.step <= step]
            if found != list(range(0, step + 1, every)):
                return False
    return True


def _is_readable(folder: Path, step: int) -> bool:
    """Return whether LAMMPS reads a restart file to its end."""
    script, log = folder / RESTARTS / "read.in", folder / RESTARTS / "read.log"
    script.write_text('read_restart ${file}\nprint "read $(step)"\n')
    variables = {"file": input_word(folder / restart_file(step))}
    try:
        with LammpsProcess(script, 1, variables, log, environment=rank_environment()) as process:
            return any([line.split() == ["read", str(step)] for line in process.lines()])
    except MpiRunError:
        return False
    finally:
        script.unlink()
        log.unlink(missing_ok=True)
