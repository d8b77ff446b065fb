"""Timed LAMMPS runs on a GPU: the timings that LAMMPS prints, and the GPU memory during the run."""

import os
import re
import statistics
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ase import Atoms

from benchmarks.gpu_card import MemoryWatch
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.mpi_process import find_program
from mlip_lammps.structure.lammps_data import write_lammps_data

DECK = """units metal
atom_style atomic
read_data {data}
pair_style mlip/torch
pair_coeff * * {model} {elements}
neighbor 2.0 bin
timestep {timestep}
velocity all create 300 4928459
fix move all nve
thermo {steps}
run {warm_up}
"""
RUNS = 3
SECTIONS = ("Pair", "Neigh", "Comm", "Modify")
_LOOP = re.compile(r"Loop time of (\S+) on \d+ procs for (\d+) steps with (\d+) atoms")
_BUILDS = re.compile(r"Neighbor list builds = (\d+)")
_GHOSTS = re.compile(r"Nghost:\s+(\S+) ave")


@dataclass(frozen=True)
class TimedRun:
    """Several runs of one LAMMPS process.

    Attributes
    ----------
    milliseconds
        Time per step of each run.
    shares
        Shares of LAMMPS's sections in the loop time in percent, averaged over the runs.
    builds
        Number of neighbour list builds in all runs.
    before_gb, most_gb
        Used GPU memory before the run, and at most during the run; None if unknown.
    """

    n_atoms: int
    n_ghost: float
    n_steps: int
    milliseconds: tuple[float, ...]
    shares: dict[str, float]
    builds: int
    before_gb: float | None
    most_gb: float | None
    errors: str

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)

    @property
    def rate(self) -> float:
        """Atom-steps per second."""
        return 1e3 * self.n_atoms / self.median

    @property
    def spread_percent(self) -> float:
        return 100.0 * (max(self.milliseconds) - min(self.milliseconds)) / self.median

    def as_dict(self) -> dict[str, object]:
        return {**asdict(self), "errors": self.errors[-2000:], "median_ms": self.median, "atom_steps_per_s": self.rate}


def run_lammps(
    model: Path,
    atoms: Atoms,
    elements: list[str],
    n_steps: int,
    folder: Path,
    *,
    n_ranks: int = 1,
    n_runs: int = RUNS,
    warm_up: int = 10,
    is_loaded_twice: bool = False,
    environment: Mapping[str, str] | None = None,
    timeout: float = 200.0,
) -> TimedRun:
    """Run NVE from 300 K.

    Parameters
    ----------
    is_loaded_twice
        Whether to run a few steps, close the model and run again, so that the timings of single operations exclude the
        loading of libraries.

    Raises
    ------
    RuntimeError
        If LAMMPS fails.
    """
    data, deck = folder / "box.data", folder / "in.timed"
    write_lammps_data(data, atoms, elements)
    timestep = 0.0005 if "H" in elements else 0.001
    start = DECK.format(
        data=data, model=model, elements=" ".join(elements), timestep=timestep, steps=n_steps, warm_up=warm_up
    )
    text = (f"{start}clear\n" if is_loaded_twice else "") + start + f"run {n_steps}\n" * n_runs
    deck.write_text(text)
    command = [find_program("lmp"), "-in", str(deck), "-log", str(folder / "log.timed")]
    if n_ranks > 1:
        command = [find_program("mpiexec"), "-n", str(n_ranks), *command]
    given = rank_environment() | dict(environment or {})
    with MemoryWatch() as memory:
        done = subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=timeout)
    loops = _LOOP.findall(done.stdout)[-n_runs:]
    if done.returncode != 0 or len(loops) < n_runs:
        raise RuntimeError(f"LAMMPS failed: {done.stdout[-1500:]}{done.stderr[-2500:]}")
    shares = {name: _share(name, done.stdout, n_runs) for name in SECTIONS}
    return TimedRun(
        n_atoms=int(loops[-1][2]),
        n_ghost=float(_GHOSTS.findall(done.stdout)[-1]),
        n_steps=int(loops[-1][1]),
        milliseconds=tuple(1e3 * float(seconds) / int(steps) for seconds, steps, _ in loops),
        shares=shares,
        builds=sum(map(int, _BUILDS.findall(done.stdout)[-n_runs:])),
        before_gb=None if memory.before is None else memory.before / 1e9,
        most_gb=None if memory.most is None else memory.most / 1e9,
        errors=done.stderr,
    )


def _share(section: str, output: str, n_runs: int) -> float:
    found = re.findall(rf"^{section}\s*\|.*\|\s*(\S+)\s*$", output, re.MULTILINE)[-n_runs:]
    return statistics.fmean(map(float, found)) if found else float("nan")


def profile_environment() -> dict[str, str]:
    """Return the environment variable that makes the engine time each operation separately."""
    kept = {"MLIP_LAMMPS_GPU_PROFILE": "1"}
    if "MLIP_LAMMPS_GPU_DEBUG" in os.environ:
        kept["MLIP_LAMMPS_GPU_DEBUG"] = os.environ["MLIP_LAMMPS_GPU_DEBUG"]
    return kept
