"""Tasks in threads whose evaluations a GPU makes together, on the emulated device."""

import threading

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT

from mlip_lammps import MlipCalculator
from mlip_lammps.core.errors import MlipError
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import Graph
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.workflows import Tasks, batches, relax_all
from mlip_lammps.workflows.batches import has_batches

N_CELLS = 5


@pytest.fixture
def on_gpu(compile_once) -> MlipCalculator:
    return MlipCalculator(compile_once("two_layers", device="emulated"))


@pytest.fixture
def sizes(monkeypatch) -> list[int]:
    """Return the numbers of graphs of all evaluations of several."""
    found, evaluate = [], CompiledModel.evaluate_many
    monkeypatch.setattr(
        CompiledModel, "evaluate_many", lambda model, graphs: found.append(len(graphs)) or evaluate(model, graphs)
    )
    return found


def cells() -> dict[str, Atoms]:
    return {f"{seed}": rattled_triclinic(("H", "O"), repeat=(2, 2, 1 + seed % 2), seed=seed) for seed in range(N_CELLS)}


def energy_task(calculator: MlipCalculator, atoms: Atoms) -> dict[str, object]:
    """Return energy and forces, and the name of the thread."""
    atoms.calc = calculator
    if len(atoms) == 1:
        raise MlipError("one atom")
    forces = atoms.get_forces()
    return {"energy": atoms.get_potential_energy(), "forces": forces, "thread": threading.current_thread().name}


def test_only_a_model_on_a_gpu_has_batches(on_gpu, compile_once):
    assert has_batches(on_gpu)
    assert not has_batches(MlipCalculator(compile_once("two_layers")))
    assert not has_batches(EMT())


def test_tasks_share_evaluations_and_give_the_results_of_one_after_another(on_gpu, sizes):
    found = Tasks().map("energies", energy_task, on_gpu, list(cells().values()))
    assert sizes == [N_CELLS]
    assert len({result["thread"] for result in found}) > 1
    for result, atoms in zip(found, cells().values(), strict=True):
        alone = energy_task(on_gpu, atoms)
        assert result["energy"] == pytest.approx(alone["energy"], abs=1e-11)
        assert np.abs(result["forces"] - alone["forces"]).max() < 1e-11


def test_relaxations_of_different_length_share_evaluations(on_gpu, sizes, monkeypatch):
    found = relax_all(cells(), on_gpu, force_tolerance=0.01)
    n_together = len(sizes)
    monkeypatch.setattr("mlip_lammps.workflows.tasks.has_batches", lambda calculator: False)
    alone = relax_all(cells(), on_gpu, force_tolerance=0.01)
    assert len(sizes) == n_together
    assert max(sizes) == N_CELLS
    for name, result in alone.items():
        assert found[name].energy == pytest.approx(result.energy, abs=1e-6)
        assert found[name].n_steps == result.n_steps
    steps = [result.n_steps for result in alone.values()]
    assert len(set(steps)) > 1
    assert n_together < sum(steps)


def test_large_structures_are_evaluated_in_parts(on_gpu, sizes, monkeypatch):
    n_atoms = [len(atoms) for atoms in cells().values()]
    monkeypatch.setattr(batches, "MOST_ATOMS", max(n_atoms))
    Tasks().map("energies", energy_task, on_gpu, list(cells().values()))
    assert sum(sizes) == N_CELLS
    assert max(sizes) < N_CELLS


def test_more_tasks_than_threads(on_gpu, sizes, monkeypatch):
    monkeypatch.setattr(batches, "MOST_TASKS", 2)
    found = Tasks().map("energies", energy_task, on_gpu, list(cells().values()))
    assert len(found) == N_CELLS
    assert max(sizes) == 2


def test_an_error_of_one_task_is_raised_after_the_others(on_gpu, tmp_path):
    items = [*cells().values(), Atoms("H", cell=[9, 9, 9], pbc=True)]
    with pytest.raises(MlipError, match="one atom"):
        Tasks(tmp_path).map("energies", energy_task, on_gpu, items)
    assert len(list(tmp_path.glob("*.json"))) == N_CELLS


def test_an_evaluation_that_fails_leaves_the_others(on_gpu, tmp_path, monkeypatch):
    evaluate = CompiledModel.evaluate_many

    def fail(model: CompiledModel, graphs: list[Graph]) -> object:
        if any(graph.n_atoms == len(cells()["1"]) for graph in graphs):
            raise MlipError("not enough GPU memory")
        return evaluate(model, graphs)

    monkeypatch.setattr(CompiledModel, "evaluate_many", fail)
    with pytest.raises(MlipError, match="not enough GPU memory"):
        Tasks(tmp_path).map("energies", energy_task, on_gpu, list(cells().values()))
    smaller = [atoms for atoms in cells().values() if len(atoms) != len(cells()["1"])]
    assert len(list(tmp_path.glob("*.json"))) == len(smaller) > 0


def test_an_interruption_ends_all_threads(on_gpu):
    before = threading.active_count()

    def interrupt(stage: str, n_done: int, n_tasks: int) -> None:
        if n_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Tasks(report=interrupt).map("energies", energy_task, on_gpu, list(cells().values()))
    assert threading.active_count() == before
