"""Time a compiled model on a structure; runs in a separate process.

    python -m benchmarks.ours MODEL.pt2 STRUCTURE.extxyz SECONDS

The script prints JSON: seconds per evaluation of energy, forces and stress through the ASE calculator on one thread.
"""

import json
import sys
import time
from pathlib import Path

import ase.io
import numpy as np

from mlip_lammps.engines.ase.calculator import MlipCalculator


def measure(model_file: str, structure_file: str, seconds: str) -> None:
    atoms = ase.io.read(structure_file)
    atoms.calc = MlipCalculator(model_file, n_threads=1)
    rng = np.random.default_rng(0)
    times = []
    start = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - start < float(seconds):
        atoms.positions += rng.normal(scale=1e-4, size=atoms.positions.shape)
        before = time.perf_counter()
        atoms.get_forces()
        atoms.get_stress()
        times.append(time.perf_counter() - before)
    print("RESULT " + json.dumps({"seconds": times[1:], "peak_mb": peak_kb() / 1024}))


def peak_kb() -> int:
    """Return the peak memory of this process; getrusage would return that of the parent if it is larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))


if __name__ == "__main__":
    measure(*sys.argv[1:])
