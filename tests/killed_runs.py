"""A run of molecular dynamics in a process of its own, which tests kill and continue."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ase import Atoms

from mlip_lammps import MlipCalculator
from mlip_lammps.workflows import DynamicsSettings

OUTPUT = ("thermo.csv", "trajectory.lammpstrj")
VICTIMS = ("this process", "mpiexec", "a rank")
RUN = """
import sys, pickle
from pathlib import Path
from mlip_lammps.workflows import run_dynamics
run_dynamics(*pickle.loads(Path(sys.argv[1]).read_bytes()), sys.argv[2], n_ranks=2)
"""
_START, _SETTLE, _END, _RUN = 60, 1.5, 60, 900
"""Limits in seconds."""


def contents(folder: Path) -> dict[str, bytes]:
    """Return the output files of a run."""
    return {name: (folder / name).read_bytes() for name in OUTPUT}


class KilledRuns:
    """Runs of one simulation on two ranks: one left alone, and one that is killed and continued in ``folder``."""

    def __init__(self, atoms: Atoms, calculator: MlipCalculator, settings: DynamicsSettings, parent: Path) -> None:
        job = parent / "job.pickle"
        job.write_bytes(pickle.dumps((atoms, calculator, settings)))
        self._command = [sys.executable, "-c", RUN, str(job)]
        self._alone, self.folder = parent / "alone", parent / "killed"

    def alone(self) -> dict[str, bytes]:
        """Run without a kill and return the output; measure the time to the first restart file, and the whole time."""
        started, self.start_seconds = time.monotonic(), 0.0
        process = subprocess.Popen([*self._command, str(self._alone)])
        while process.poll() is None:
            assert time.monotonic() < started + _RUN
            if not self.start_seconds and list(self._alone.glob("restarts/*.restart")):
                self.start_seconds = time.monotonic() - started
            time.sleep(0.02)
        assert process.returncode == 0
        self.seconds = time.monotonic() - started
        return contents(self._alone)

    def finish(self) -> dict[str, bytes]:
        """Continue to the end and return the output."""
        subprocess.run([*self._command, str(self.folder)], check=True, timeout=_RUN)
        return contents(self.folder)

    def kill(self, victim: str, is_time: Callable[[], bool]) -> bool:
        """Start or continue the run, kill one of its processes, and wait until all are gone.

        Returns
        -------
        bool
            False if the run ended before it was time.
        """
        command = [*self._command, str(self.folder)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _START
        while not is_time() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        below = _descendants(process.pid)
        if process.poll() is not None:
            return False
        # mpiexec is the child; below it hydra_pmi_proxy, and below that the ranks
        targets = {"this process": process.pid, "mpiexec": below[0], "a rank": below[-1]} if below else {}
        os.kill(targets.get(victim, process.pid), signal.SIGKILL)
        try:
            process.wait(timeout=_SETTLE)
        except subprocess.TimeoutExpired:  # that was the check of a restart file, and the run goes on with an older one
            below += _descendants(process.pid)
            process.kill()
            process.wait(timeout=_END)
        deadline = time.monotonic() + _END
        while any(_is_running(pid) for pid in below):
            assert time.monotonic() < deadline, "a rank runs on"
            time.sleep(0.05)
        return True


def _descendants(parent: int) -> list[int]:
    """Return the processes that descend from ``parent``."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout.split()
    children: dict[int, list[int]] = {}
    for pid, ppid in zip(table[::2], table[1::2], strict=True):
        children.setdefault(int(ppid), []).append(int(pid))
    found, left = [], [parent]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
