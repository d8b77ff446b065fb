"""Functions that run LAMMPS and driver scripts on several ranks in separate processes with a time limit."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mlip_lammps
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.lammps.process import ThermoReader, find_program

TIME_LIMIT = 120.0
"""Time limit in s, generous for a busy machine: a run takes a few seconds, and one that reaches the limit hangs."""

TERMINATE_SECONDS = 10.0
N_LAST_CHARACTERS = 4000


@dataclass(frozen=True)
class Finished:
    """A finished run.

    Attributes
    ----------
    code
        Exit code of the launcher.
    output
        stdout and stderr of all ranks.
    folder
        Working folder of the run.
    """

    code: int
    output: str
    folder: Path

    @property
    def thermo(self) -> list[dict[str, float]]:
        """Rows of thermo output of all runs in order."""
        reader = ThermoReader()
        return [row for line in self.output.splitlines() if (row := reader.read(line))]

    def dump(self, name: str) -> NDArray[np.float64]:
        """Return the last frame of a text dump, sorted by ID, shape (n_atoms, n_columns)."""
        last = (self.folder / name).read_text().split("ITEM: TIMESTEP")[-1]
        rows = last.split("ITEM: ATOMS")[1].splitlines()[1:]
        table = np.array([row.split() for row in rows], dtype=np.float64)
        return table[np.argsort(table[:, 0])]


def environment(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment with one thread per rank, the package of this checkout and ``changes``."""
    paths = f"{Path(__file__).parent}{os.pathsep}{Path(mlip_lammps.__file__).parents[1]}"
    return {**rank_environment(), "PYTHONPATH": paths, **(changes or {})}


def start(command: Sequence[object], folder: Path, changes: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a command in ``folder`` with stderr redirected to stdout."""
    return subprocess.Popen(
        [str(word) for word in command],
        cwd=folder,
        env=environment(changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], folder: Path, time_limit: float = TIME_LIMIT) -> Finished:
    """Wait for a started command.

    Raises
    ------
    AssertionError
        If it is still running after ``time_limit`` seconds; the command is terminated first.
    """
    try:
        output, _ = process.communicate(timeout=time_limit)
    except subprocess.TimeoutExpired:
        # mpiexec forwards SIGTERM to its ranks; SIGKILL would leave them running.
        process.terminate()
        try:
            output, _ = process.communicate(timeout=TERMINATE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        raise AssertionError(
            f"{' '.join(process.args)} hung for {time_limit:g} s:\n{output[-N_LAST_CHARACTERS:]}"
        ) from None
    return Finished(process.returncode, output, folder)


def run_command(
    command: Sequence[object],
    folder: Path,
    *,
    changes: Mapping[str, str] | None = None,
    time_limit: float = TIME_LIMIT,
    is_refused: bool = False,
) -> Finished:
    """Run a command to its end.

    Parameters
    ----------
    changes
        Environment variables.
    is_refused
        Whether it must fail.

    Raises
    ------
    AssertionError
        If it hangs, or fails (or does not, with ``is_refused``).
    """
    done = finish(start(command, folder, changes), folder, time_limit)
    if (done.code != 0) != is_refused:
        raise AssertionError(f"exit code {done.code} of {command}:\n{done.output[-N_LAST_CHARACTERS:]}")
    return done


def lammps_command(input_name: str, n_ranks: int) -> list[object]:
    """Return ``mpiexec -n N lmp -in NAME``, without a log and without buffers."""
    return [find_program("mpiexec"), "-n", n_ranks, find_program("lmp"), *lammps_options(input_name)]


def lammps_options(input_name: str) -> list[str]:
    return ["-nonbuf", "-nocite", "-log", "none", "-in", input_name]


def run_lammps(text: str, n_ranks: int, folder: Path, *, lammps: Sequence[object] = (), **options: object) -> Finished:
    """Run LAMMPS commands on ``n_ranks`` ranks in ``folder``.

    ``lammps`` contains additional arguments of ``lmp``; see ``run_command`` for the options.
    """
    (folder / "in.test").write_text(text)
    return run_command([*lammps_command("in.test", n_ranks), *lammps], folder, **options)


def error_line(done: Finished) -> str:
    """Return the error of a run that LAMMPS or the pair style stopped; all ranks must report the same error."""
    lines = [line for line in done.output.splitlines() if line.startswith("ERROR")]
    assert len({re.sub(r"^ERROR on proc \d+", "ERROR", line) for line in lines}) == 1, done.output
    assert "Traceback" not in done.output
    return lines[0]


def run_driver(script: str, n_ranks: int, folder: Path, *words: object, **options: object) -> Finished:
    """Run a script of this folder on ``n_ranks`` ranks; see ``run_command`` for the options."""
    path = Path(__file__).with_name(script)
    return run_command([find_program("mpiexec"), "-n", n_ranks, sys.executable, path, *words], folder, **options)
