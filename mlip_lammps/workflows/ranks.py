"""Processes that wait for jobs of `Tasks`, so that they start and open a model once for a whole command.

Jobs are files in a folder: ranks on other nodes of a cluster share nothing else with this process.
"""

import os
import shutil
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from tempfile import mkdtemp

from mlip_lammps.core.processes import python_module
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.mpi_process import MpiProcess

_WORKER = "mlip_lammps.workflows.worker"

_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05
"""Times in s between two looks for a job: waiting takes a thousandth of a processor."""
_PAUSE = 0.01
"""A pause as a part of the time that a rank has waited."""
_WRITABLE_BY_ALL = 0o002


class Ranks:
    """Ranks that wait for jobs until they are closed or this process ends, also if it is killed.

    Parameters
    ----------
    folder
        Folder for the jobs, which is removed at the end. The first job creates it.
    n_ranks
        Number of processes besides this one.

    Raises
    ------
    UserInputError
        If ``mpiexec`` is missing or cannot start ranks.
    """

    def __init__(self, folder: Path, n_ranks: int) -> None:
        self.n_ranks = n_ranks
        self._folder = folder.absolute()
        self._n_jobs = 0
        self._process_id, self._thread = os.getpid(), threading.current_thread()
        program = [*python_module(_WORKER), self._folder]
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._folder, ignore_errors=True)
            process = MpiProcess(program, n_ranks, name="a rank", environment=rank_environment())
            self._process = stack.enter_context(process)
            self._close = weakref.finalize(self, _close, stack.pop_all(), self._process_id)

    @property
    def are_usable(self) -> bool:
        """Whether they wait for jobs of this process; the kernel ends them with the thread that started them."""
        return (
            self._close.alive
            and self._process_id == os.getpid()
            and self._thread.is_alive()
            and self._process.is_running
        )

    def give(self, job: bytes) -> Path:
        """Give a job to all ranks; return the folder for what they write."""
        place = self._folder / str(self._n_jobs)
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        place.mkdir()
        file = _job_file(self._folder, self._n_jobs)
        unfinished = file.with_suffix(".unfinished")
        unfinished.write_bytes(job)
        unfinished.rename(file)
        self._n_jobs += 1
        return place

    def lines(self, waits: bool = True) -> Iterator[str]:
        """Yield the output of the ranks, see `MpiProcess.lines`."""
        return self._process.lines(waits)

    def close(self) -> None:
        """End the ranks, also in the middle of a job, and remove their folder."""
        self._close()


def _close(stack: ExitStack, process_id: int) -> None:
    if os.getpid() == process_id:  # not in a fork, whose copy of this object ends too
        stack.close()


def start_in(folder: Path | None, n_ranks: int) -> Ranks:
    """Start ranks whose jobs are in a new folder inside ``folder``, or inside that for temporary files if None."""
    return Ranks(Path(mkdtemp(prefix="mlip-lammps-" if folder is None else "ranks-", dir=folder)), n_ranks)


def start_before(folder: Path, n_ranks: int) -> Ranks | None:
    """Start ranks before ``folder`` exists; return None if another user could create it first, with other jobs."""
    existing = next(place for place in folder.absolute().parents if place.is_dir())
    if existing.stat().st_mode & _WRITABLE_BY_ALL:
        return None
    return Ranks(folder / f"ranks-{os.urandom(4).hex()}", n_ranks)


def wait_for_jobs(folder: Path) -> Iterator[tuple[bytes, Path]]:
    """Yield each job and the folder for what its ranks write; never end."""
    for number in count():
        file = _job_file(folder, number)
        started = time.monotonic()
        while not _exists(file):
            time.sleep(min(max(_PAUSE * (time.monotonic() - started), _SHORTEST_PAUSE), _LONGEST_PAUSE))
        yield file.read_bytes(), folder / str(number)


def _job_file(folder: Path, number: int) -> Path:
    return folder / f"{number}.job"


def _exists(file: Path) -> bool:
    """Return whether a file exists; opening a folder above it makes a network file system look again."""
    for place in file.parents:
        try:
            os.close(os.open(place, os.O_RDONLY))
        except FileNotFoundError:
            continue
        return place == file.parent and file.exists()
    return False
