"""Workflows on two ranks and on one, and the share of force evaluation.

    python -m benchmarks.workflows [--cases NAME ...] [--out benchmarks/results/workflows.md]

Phonons of a supercell with 6 displacements, relaxation of 200 cells, and adsorption of 12 candidates, each small and
large, with shipped models in float64; phonons and relaxations also with a model of the MACE-MP-0 medium architecture
and random weights. Each rank evaluates with one thread; times include the start of processes.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from ase.build import bulk, fcc100, molecule

from benchmarks.common import load_average, machine, markdown_table
from benchmarks.structures import ROOT
from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.families.mace.reader.portable import write_portable
from mlip_lammps.testing.random_models import random_model
from mlip_lammps.workflows import Tasks, adsorb, phonons, relax, relax_all
from mlip_lammps.workflows.surfaces.adsorption import fixed_bottom

_LARGEST_RATIO, _SMALLEST_SHARE = 0.6, 0.95
_MEDIUM = "medium"
_MEDIUM_OPTIONS = {
    "elements": ["Si"], "hidden_irreps": "128x0e+128x1o", "l_max": 3, "correlation": 3, "cutoff": 6.0, "n_basis": 10,
    "radial_widths": (64, 64, 64), "readout_irreps": "16x0e", "avg_num_neighbors": 46.0,
}  # fmt: skip


class TimedCalculator(MlipCalculator):
    """Adds up the time of evaluations."""

    seconds = 0.0

    def calculate(self, *arguments: object, **options: object) -> None:
        started = time.perf_counter()
        super().calculate(*arguments, **options)
        self.seconds += time.perf_counter() - started


@dataclass(frozen=True)
class Case:
    """A workflow: its model, and a function that prepares structures and returns what is timed."""

    description: str
    model: str
    prepare: Callable[[MlipCalculator], Callable[[MlipCalculator, Tasks], object]]


def _phonons(calculator: MlipCalculator, n_cells: int) -> Callable:
    """A strained crystal without symmetry besides inversion: three displacements with both signs."""
    crystal = bulk("Si", a=5.47, cubic=True)
    strain = np.array([[0.004, 0.001, 0.002], [0.001, -0.003, 0.0015], [0.002, 0.0015, 0.001]])
    crystal.set_cell(crystal.cell[:] @ (np.eye(3) + strain), scale_atoms=True)
    crystal = relax(crystal, calculator, force_tolerance=1e-4).atoms
    return lambda one, tasks: phonons(crystal, one, (n_cells,) * 3, mesh_length=20, tasks=tasks)


def _relaxations(calculator: MlipCalculator, n_cells: int, **options: float) -> Callable:
    cells = {}
    for seed in range(200):
        cells[f"{seed}"] = cell = bulk("Si", a=5.47, cubic=True) * ((n_cells,) * 3)
        cell.rattle(0.1, seed=seed)
    return lambda one, tasks: relax_all(cells, one, tasks=tasks, **options)


def _adsorption(calculator: MlipCalculator, n_cells: int) -> Callable:
    slab = fixed_bottom(fcc100("Ni", (n_cells, n_cells, 4), a=3.52, vacuum=7.0, periodic=True))
    gas = molecule("CO2")
    return lambda one, tasks: adsorb(slab, gas, one, max_steps=500, tasks=tasks)


CASES = {
    "phonons": Case("phonons, 216 atoms, 6 displacements", "silicon-pbe", partial(_phonons, n_cells=3)),
    "large phonons": Case("phonons, 1,728 atoms, 6 displacements", "silicon-pbe", partial(_phonons, n_cells=6)),
    "relaxations": Case("relaxation of 200 cells of 8 atoms", "silicon-pbe", partial(_relaxations, n_cells=1)),
    "large relaxations": Case("relaxation of 200 cells of 64 atoms", "silicon-pbe", partial(_relaxations, n_cells=2)),
    "medium phonons": Case("phonons, 216 atoms, 6 displacements", _MEDIUM, partial(_phonons, n_cells=3)),
    "medium relaxations": Case(
        "15 steps of relaxation of 200 cells of 8 atoms",
        _MEDIUM,
        partial(_relaxations, n_cells=1, force_tolerance=1e-9, max_steps=15),
    ),
    "adsorption": Case("adsorption of CO2 on 3 x 3 Ni(100)", "nickel-co2-pbe", partial(_adsorption, n_cells=3)),
    "large adsorption": Case("adsorption of CO2 on 6 x 6 Ni(100)", "nickel-co2-pbe", partial(_adsorption, n_cells=6)),
}


def measure(case: Case) -> tuple[float, float, float]:
    """Return the times on one and on two ranks in s, and the share of force evaluation on one rank."""
    path = _compiled(case.model)
    calculators = [TimedCalculator(path, n_threads=1), MlipCalculator(path, n_threads=1)]
    run = case.prepare(MlipCalculator(path))
    times = []
    for calculator, n_ranks in zip(calculators, (1, 2), strict=True):
        started = time.perf_counter()
        with closing(Tasks(n_ranks=n_ranks)) as tasks:
            run(calculator, tasks)
            times.append(time.perf_counter() - started)
    return times[0], times[1], calculators[0].seconds / times[0]


def _compiled(model: str) -> Path:
    if model != _MEDIUM:
        return compiled_model(model, dtype="float64")
    with TemporaryDirectory() as folder:
        file = Path(folder, f"{model}.safetensors")
        write_portable(random_model(**_MEDIUM_OPTIONS), file)
        return compiled_model(file, dtype="float64")


def main() -> int:
    """Measure the chosen workflows and write the table; return 1 if one misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/workflows.md", help="file to write")
    arguments = parser.parse_args()
    load, rows, misses = load_average(), [], False
    for name in arguments.cases:
        one, two, share = measure(CASES[name])
        misses |= two > _LARGEST_RATIO * one or share < _SMALLEST_SHARE
        case = CASES[name]
        ratio, percent = f"{two / one:.2f}", f"{100 * share:.1f} %"
        rows.append((case.description, case.model, f"{one:.1f}", f"{two:.1f}", ratio, percent))
        print(*rows[-1], sep=", ", flush=True)
    headings = "workflow", "model", "one rank, s", "two ranks, s", "ratio", "force evaluation on one rank"
    table = markdown_table(headings, rows)
    facts = ", ".join(f"{key} {value}" for key, value in machine().items())
    lines = ["# Workflows on two ranks", f"`python -m benchmarks.workflows`; {facts}; load average {load}.", table]
    arguments.out.write_text("\n\n".join(lines) + "\n")
    return int(misses)


if __name__ == "__main__":
    raise SystemExit(main())
