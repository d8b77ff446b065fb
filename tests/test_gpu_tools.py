"""Commands and Python tools with files for a GPU."""

import json

import numpy as np
import pytest
from ase.build import bulk

from mlip_lammps.checkpoint import write_portable
from mlip_lammps.cli.main import main
from mlip_lammps.engines.ase_calculator import MlipCalculator
from mlip_lammps.export import CompiledModel, cache, export_model
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing.random_models import random_model
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.workflows.estimate_gpu import estimate_gpu_run


def test_a_file_for_gpus_is_exported_without_one(portable_models, tmp_path, capsys):
    model = tmp_path / "two.pt2"
    assert main(["export", str(portable_models["two_layers"]), "-o", str(model), "--device", "cuda"]) == 0
    assert "from the reference" in capsys.readouterr().out
    assert main(["info", "--json", str(model)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["device"] == "cuda"
    assert facts["compute_capabilities"] == ["8.0", "9.0", "10.0", "12.0"]
    assert facts["differences"]["energy_per_atom_ev"] < 1e-4


def test_verify_takes_the_kernels_of_a_gpu(compile_once, portable_models, tmp_path, capsys):
    model, table = compile_once("one_layer_of_two", device="emulated"), tmp_path / "table.json"
    source = str(portable_models["one_layer_of_two"])
    assert main(["verify", str(model), "--source", source, "--ranks", "1,2", "--json", str(table)]) == 0
    assert "0 failed" in capsys.readouterr().out
    assert json.loads(table.read_text())["device"] == "cuda"


def test_a_file_for_gpus_is_kept_whatever_the_processor_and_torch(portable_models, tmp_path, monkeypatch):
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path))
    made = cache.compiled_model(portable_models["one_layer"], device="emulated")
    monkeypatch.setattr(cache, "machine_record", lambda: {"architecture": "another"})
    assert cache.compiled_model(portable_models["one_layer"], device="emulated") == made


def test_the_calculator_compiles_for_a_device(portable_models, compile_once, tmp_path, monkeypatch):
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path))
    calculator = MlipCalculator(portable_models["two_layers"], device="emulated")
    assert calculator.model.metadata["device"] == "cuda"
    atoms = rattled_triclinic(("H", "O"), seed=1)
    atoms.calc = calculator
    expected = atoms.copy()
    expected.calc = MlipCalculator(compile_once("two_layers", "mixed"), n_threads=1)
    np.testing.assert_allclose(atoms.get_stress(), expected.get_stress(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("device", ["cpu", "emulated"])
def test_many_structures_in_one_evaluation_equal_each_alone(device, compile_once):
    model = CompiledModel(compile_once("two_layers", device=device), n_threads=1)
    structures = [rattled_triclinic(("H", "O"), repeat=(n, 1, 2), seed=n) for n in (1, 3, 2)]
    graphs = [build_graph(atoms, model.cutoff) for atoms in structures]
    for graph, found in zip(graphs, model.evaluate_many(graphs), strict=True):
        alone = model.evaluate(graph)
        np.testing.assert_allclose(found.node_energies, alone.node_energies, rtol=0, atol=1e-12)
        np.testing.assert_allclose(found.edge_gradients, alone.edge_gradients, rtol=0, atol=1e-11)
    assert model.evaluate_many([]) == []


def test_the_memory_of_a_card_is_about_what_one_took(tmp_path):
    trained = random_model(
        elements=("Si",), hidden_irreps="128x0e+128x1o", l_max=3, correlation=2, cutoff=6.0, radial_widths=(8,)
    )
    write_portable(trained, tmp_path / "medium.safetensors")
    model = export_model(tmp_path / "medium.safetensors", tmp_path / "medium.pt2", device="emulated").path
    found = estimate_gpu_run(model, 97_336, structure=bulk("Si", cubic=True))
    # an H200 held 26.5 GB with 97,336 atoms of the medium architecture, 1.7 GB of them before the run
    assert 22e9 < found.rank_bytes < 32e9
    assert found.fitting[24] == pytest.approx(97_336 * 24 / 26.5, rel=0.2)
    assert list(found.fitting.values()) == sorted(found.fitting.values())
