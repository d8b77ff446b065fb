"""Comparison of GPU files with the float64 reference: through Python, and through LAMMPS on one and two ranks."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms

from benchmarks.gpu_models import DTYPES, Context, elements_of, is_for_speed, largest, parity_structures
from mlip_lammps.core.limits import TO_REFERENCE
from mlip_lammps.engines.lammps.cases import Case, CaseResult, run_cases
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import MaceReference
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.graph import forces_from_gradients

ENERGY_EV, FORCE_EV_PER_ANGSTROM = 1e-9, 1e-8
"""float64 limits per atom and per component; mixed precision uses the limits of the export."""
RANKS = (1, 2)
_SILENCE_SECONDS = 120.0
_STEPS = 15
_MOVE = "velocity all create 300 11 loop geom\nfix move all nve\ntimestep 0.0005\n"
HEADING = "Parity with the reference in float64"
NOTE = """Largest differences for a rattled triclinic cell with all elements and, for water and silicon, also for a box.
Two ranks share the GPU. "Same bits": a second evaluation of the same file, and a second LAMMPS run of 15 NVE steps,
give identical results. Limits: in float64, 1e-9 eV per atom and 1e-8 eV/angstrom; in mixed precision, those of
`mlip_lammps/core/limits.py`: 2e-4 eV per atom, and for forces 1e-4 of the largest force or of 1 eV/angstrom."""
HEADINGS = ("model", "precision", "through", "atomic energy, eV", "force, eV/angstrom", "same bits", "verdict")


def measure_parity(context: Context) -> None:
    """Compare every model in both precisions, several at a time if there are enough cores."""
    table = context.report.table(HEADING, HEADINGS, NOTE)
    n_workers = 1 if context.is_emulated else max(1, min(4, len(os.sched_getaffinity(0)) // 3))
    with ThreadPoolExecutor(max_workers=n_workers) as pool:
        jobs = []
        for name in context.sources:
            keys = [(name, dtype) for dtype in DTYPES if (name, dtype) in context.files]
            if is_for_speed(name) or not keys:
                continue
            structures = parity_structures(name, elements_of(context, *keys[0]))
            reference = MaceReference(read_model(context.sources[name]))
            expected = {label: reference.evaluate(atoms) for label, atoms in structures.items()}
            for key in keys:
                file = context.files[key]
                jobs.append((key, "Python", partial(_through_python, file, expected)))
                for n in RANKS:
                    label = f"LAMMPS, {n} rank{'s' if n > 1 else ''}"
                    jobs.append((key, label, pool.submit(_through_lammps, file, structures, expected, n).result))
        for key, through, job in jobs:
            found = context.report.attempt(f"parity {' '.join(key)}, {through}", job)
            if found is not None:
                table.add(*_row(key, through, *found))


def _row(key: tuple[str, str], through: str, energy: float, force: float, relative: float, is_same: bool):
    tolerance = TO_REFERENCE[key[1]]
    if key[1] == "float64":
        is_good = energy <= ENERGY_EV and force <= FORCE_EV_PER_ANGSTROM
    else:
        is_good = energy <= tolerance.energy and relative <= tolerance.force
    verdict = "passed" if is_good and is_same else "FAILED"
    row = (*key, through, f"{energy:.1e}", f"{force:.1e}", "yes" if is_same else "NO", verdict)
    names = ("energy_ev", "force_ev_per_angstrom", "force_relative", "is_same")
    numbers = dict(zip(names, (energy, force, relative, is_same), strict=True))
    return row, {"model": key[0], "precision": key[1], "through": through, **numbers, "verdict": verdict}


def _differences(found, expected: Evaluation) -> tuple[float, float, float]:
    energy = largest(found.node_energies - expected.node_energies)
    force = largest(found.forces - expected.forces)
    if not (np.isfinite(found.node_energies).all() and np.isfinite(found.forces).all()):
        return float("inf"), float("inf"), float("inf")  # max() would ignore a NaN
    return energy, force, force / max(1.0, largest(expected.forces))


def _through_python(file: Path, expected: dict[str, Evaluation]) -> tuple[float, float, float, bool]:
    model, is_same, worst = CompiledModel(file), True, (0.0, 0.0, 0.0)
    for one in expected.values():
        results = [model.evaluate(one.graph) for _ in range(2)]
        is_same &= all(
            np.array_equal(getattr(results[0], name), getattr(results[1], name))
            for name in ("node_energies", "edge_gradients")
        )
        found = _Found(results[0].node_energies, forces_from_gradients(one.graph, results[0].edge_gradients))
        worst = tuple(map(max, worst, _differences(found, one)))
    return *worst, is_same


class _Found:
    def __init__(self, node_energies: np.ndarray, forces: np.ndarray):
        self.node_energies, self.forces = node_energies, forces


def _through_lammps(
    file: Path, structures: dict[str, Atoms], expected: dict[str, Evaluation], n_ranks: int
) -> tuple[float, float, float, bool]:
    cases = [Case(label, atoms) for label, atoms in structures.items()]
    cases += [Case(f"{one.name}, moved", one.atoms, before_run=_MOVE, n_steps=_STEPS) for one in list(cases)]
    starts = [run_cases(cases, file, n_ranks, silence_seconds=_SILENCE_SECONDS) for _ in range(2)]
    for start in starts:
        if start.faults:
            raise RuntimeError(f"LAMMPS: {start.faults}")
    worst = (0.0, 0.0, 0.0)
    for label in structures:
        worst = tuple(map(max, worst, _differences(starts[0].results[label], expected[label])))
    is_same = all(_is_same(starts[0].results[case.name], starts[1].results[case.name]) for case in cases)
    return *worst, is_same


def _is_same(one: CaseResult, two: CaseResult) -> bool:
    names = ("node_energies", "forces", "positions", "virial")
    return all(np.array_equal(getattr(one, name), getattr(two, name)) for name in names)
