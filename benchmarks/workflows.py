"""Workflows on two ranks and on one, and the share of force evaluation.

    python -m benchmarks.workflows [--cases NAME ...] [--out benchmarks/results/workflows.md]

Phonons of a supercell with 6 displacements, relaxation of 200 cells, and adsorption of up to 12 candidates, in float64:
small and large with shipped models, and with the architectures of MACE-MP-0 medium, MACE-MH-1 and MACE-OMOL with random
weights. The limits are for models of the size of the latter two: with those that ship, phonopy and ASE take more time
than forces. All cases take twenty-five minutes.
Each rank evaluates with one thread. Two ranks are timed when they start with the workflow, as in a script, and when
they wait already, as in a command, which starts them before its imports.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from ase.build import bulk, fcc100, molecule

from benchmarks.common import load_average, machine, markdown_table
from benchmarks.structures import ROOT
from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.families.mace import write_portable
from mlip_lammps.testing.random_models import random_model
from mlip_lammps.workflows import Tasks, adsorb, phonons, relax, relax_all
from mlip_lammps.workflows.surfaces.adsorption import fixed_bottom

_LARGEST_RATIO, _SMALLEST_SHARE = 0.6, 0.95
_MOST_ROUNDS, _ROUNDS_SECONDS = 5, 30.0
"""Rounds after the first, which is not counted because it imports what the workflow needs."""

_MEDIUM, _LARGE = "MACE-MP-0 medium", ("MACE-MH-1", "MACE-OMOL")
_RANDOM = (_MEDIUM, *_LARGE)
"""Models of `_random_model`."""

_STRAIN = np.array([[0.004, 0.001, 0.002], [0.001, -0.003, 0.0015], [0.002, 0.0015, 0.001]])


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
    crystal.set_cell(crystal.cell[:] @ (np.eye(3) + _STRAIN), scale_atoms=True)
    crystal = relax(crystal, calculator, force_tolerance=1e-4).atoms
    return lambda one, tasks: phonons(crystal, one, (n_cells,) * 3, mesh_length=20, tasks=tasks)


def _relaxations(calculator: MlipCalculator, n_cells: int) -> Callable:
    cells = {}
    for seed in range(200):
        cells[f"{seed}"] = cell = bulk("Si", a=5.47, cubic=True) * ((n_cells,) * 3)
        cell.rattle(0.1, seed=seed)
    return lambda one, tasks: relax_all(cells, one, tasks=tasks)


def _adsorption(calculator: MlipCalculator, n_cells: int) -> Callable:
    slab = fixed_bottom(fcc100("Ni", (n_cells, n_cells, 4), a=3.52, vacuum=7.0, periodic=True))
    gas = molecule("CO2")
    return lambda one, tasks: adsorb(slab, gas, one, max_steps=500, tasks=tasks)


def _medium_phonons(calculator: MlipCalculator) -> Callable:
    """Strained rock salt: both atoms are centres of inversion, so that forces vanish with any weights."""
    crystal = bulk("NiO", "rocksalt", a=4.2, cubic=True)
    crystal.set_cell(crystal.cell[:] @ (np.eye(3) + _STRAIN), scale_atoms=True)
    return lambda one, tasks: phonons(crystal, one, (3, 3, 3), mesh_length=20, tasks=tasks)


def _medium_relaxations(calculator: MlipCalculator) -> Callable:
    cells = {}
    for seed in range(200):
        cells[f"{seed}"] = cell = bulk("NiO", "rocksalt", a=4.2, cubic=True)
        cell.rattle(0.1, seed=seed)
    return lambda one, tasks: relax_all(cells, one, max_steps=30, tasks=tasks)


def _medium_adsorption(calculator: MlipCalculator) -> Callable:
    slab = fixed_bottom(fcc100("Ni", (3, 3, 5), a=3.52, vacuum=7.0, periodic=True))
    return lambda one, tasks: adsorb(slab, molecule("CO"), one, max_steps=300, tasks=tasks)


CASES = {
    "phonons": Case("phonons, 216 atoms, 6 displacements", "silicon-pbe", partial(_phonons, n_cells=3)),
    "large phonons": Case("phonons, 1,728 atoms, 6 displacements", "silicon-pbe", partial(_phonons, n_cells=6)),
    "medium phonons": Case("phonons of NiO, 216 atoms, 6 displacements", _MEDIUM, _medium_phonons),
    "phonons of MH-1": Case("phonons of NiO, 216 atoms, 6 displacements", _LARGE[0], _medium_phonons),
    "phonons of OMOL": Case("phonons of NiO, 216 atoms, 6 displacements", _LARGE[1], _medium_phonons),
    "relaxations": Case("relaxation of 200 cells of 8 atoms", "silicon-pbe", partial(_relaxations, n_cells=1)),
    "large relaxations": Case("relaxation of 200 cells of 64 atoms", "silicon-pbe", partial(_relaxations, n_cells=2)),
    "medium relaxations": Case("relaxation of 200 NiO cells of 8 atoms", _MEDIUM, _medium_relaxations),
    "relaxations of MH-1": Case("relaxation of 200 NiO cells of 8 atoms", _LARGE[0], _medium_relaxations),
    "adsorption": Case("adsorption of CO2 on 3 x 3 Ni(100)", "nickel-co2-pbe", partial(_adsorption, n_cells=3)),
    "large adsorption": Case("adsorption of CO2 on 6 x 6 Ni(100)", "nickel-co2-pbe", partial(_adsorption, n_cells=6)),
    "medium adsorption": Case("adsorption of CO on 3 x 3 Ni(100), 5 layers", _MEDIUM, _medium_adsorption),
}


@dataclass(frozen=True)
class Times:
    """Medians of a workflow's times in s, and the share of force evaluation on one rank."""

    one: float
    two_started: float
    two_waiting: float
    share: float


def _random_model(name: str, folder: Path) -> Path:
    """Write the architecture of MACE-MP-0 medium for three elements or that of a larger model, with weak forces."""
    path = folder / f"{name}.safetensors"
    if name in _LARGE:
        sys.path.insert(0, str(ROOT / "tests"))
        from foundation_sizes import make

        write_portable(make(name), path)
        return path
    size = {"hidden_irreps": "128x0e+128x1o", "l_max": 3, "correlation": 3, "n_layers": 2, "cutoff": 6.0, "n_basis": 8}
    readouts = {"radial_widths": (64, 64, 64), "readout_irreps": "16x0e", "avg_num_neighbors": 60.0}
    model = random_model(("C", "O", "Ni"), **size, **readouts, pair_repulsion=True)  # so that no atoms overlap
    write_portable(model, path)
    return path


def measure(case: Case) -> Times:
    """Return the times of a workflow."""
    with tempfile.TemporaryDirectory() as folder:
        is_random = case.model in _RANDOM
        source = _random_model(case.model, Path(folder)) if is_random else case.model
        path = compiled_model(source, dtype="float64", elements=("C", "O", "Ni") if is_random else None)
    prepared = case.prepare(MlipCalculator(path))
    rounds, ends = [], time.perf_counter() + _ROUNDS_SECONDS
    while len(rounds) < 2 or (len(rounds) <= _MOST_ROUNDS and time.perf_counter() < ends):
        calculator = TimedCalculator(path, n_threads=1)
        one = _seconds(prepared, calculator, Tasks())
        with closing(Tasks(n_ranks=2)) as tasks:  # entering Tasks itself would start the ranks
            two = [_seconds(prepared, MlipCalculator(path, n_threads=1), tasks) for _ in range(2)]
        rounds.append((one, *two, calculator.seconds / one))
    return Times(*map(median, zip(*rounds[1:], strict=True)))


def _seconds(run: Callable[[MlipCalculator, Tasks], object], calculator: MlipCalculator, tasks: Tasks) -> float:
    started = time.perf_counter()
    run(calculator, tasks)
    return time.perf_counter() - started


def main() -> int:
    """Measure the chosen workflows and write the table; return 1 if a large model misses a limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/workflows.md", help="file to write")
    arguments = parser.parse_args()
    load, rows, misses = load_average(), [], False
    for name in arguments.cases:
        case = CASES[name]
        found = measure(case)
        is_slow = found.two_waiting > _LARGEST_RATIO * found.one or found.share < _SMALLEST_SHARE
        misses |= is_slow and case.model in _LARGE
        times = [f"{found.one:.2f}"]
        for two in (found.two_started, found.two_waiting):
            times += [f"{two:.2f}", f"{two / found.one:.2f}"]
        model = f"{case.model}, random weights" if case.model in _RANDOM else case.model
        rows.append((case.description, model, *times, f"{100 * found.share:.1f} %"))
        print(*rows[-1], sep=", ", flush=True)
    columns = ("one rank, s", "two ranks that start, s", "ratio", "two ranks that wait, s", "ratio")
    table = markdown_table(("workflow", "model", *columns, "force evaluation on one rank"), rows)
    facts = ", ".join(f"{key} {value}" for key, value in machine().items())
    lines = ["# Workflows on two ranks", f"`python -m benchmarks.workflows`; {facts}; load average {load}.", table]
    arguments.out.write_text("\n\n".join(lines) + "\n")
    return int(misses)


if __name__ == "__main__":
    raise SystemExit(main())
