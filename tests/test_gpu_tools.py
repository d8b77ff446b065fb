"""Commands and Python tools with GPU files."""

import json
import zipfile

import numpy as np
import pytest
import torch
from ase.build import bulk

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import cache, export_model
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families.mace import write_portable
from mlip_lammps.kernels.gpu import backend as gpu_backend
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing.random_models import random_model
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.workflows.estimate_gpu import estimate_gpu_run


def test_a_file_for_gpus_is_exported_without_one(portable_models, tmp_path, capsys):
    model = tmp_path / "two.pt2"
    assert main(["export", str(portable_models["two_layers"]), "-o", str(model), "--device", "cuda"]) == 0
    printed = capsys.readouterr().out
    assert "error vs reference" in printed
    assert f"pair_coeff * * {model} H O" in printed
    assert main(["info", "--json", str(model)]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["device"] == "cuda"
    assert facts["compute_capabilities"] == ["8.0", "9.0", "10.0", "12.0"]
    assert facts["differences"]["energy_per_atom_ev"] < 1e-4


def test_verify_checks_gpu_kernels(compile_once, portable_models, tmp_path, capsys):
    model, table = compile_once("one_layer_of_two", device="emulated"), tmp_path / "table.json"
    source = str(portable_models["one_layer_of_two"])
    assert main(["verify", str(model), "--source", source, "--ranks", "2", "--json", str(table)]) == 0
    assert "0 failed" in capsys.readouterr().out
    assert json.loads(table.read_text())["device"] == "cuda"


def test_the_cache_key_of_gpu_files_excludes_processor_and_torch(portable_models, tmp_path, monkeypatch):
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path))
    monkeypatch.setattr(gpu_backend, "ARCHITECTURES", (90,))
    source = portable_models["one_layer"]
    made = {device: cache.compiled_model(source, device=device) for device in ("cuda", "emulated")}
    monkeypatch.setattr(torch, "__version__", "another")
    for device, path in made.items():
        assert cache.compiled_model(source, device=device) == path
    monkeypatch.setattr(gpu_backend, "machine_record", lambda: {"architecture": "another"})
    assert cache.compiled_model(source, device="cuda") == made["cuda"]
    # emulated kernels are compiled for this processor
    assert cache.compiled_model(source, device="emulated") != made["emulated"]


def test_the_calculator_compiles_for_a_device(portable_models, compile_once, tmp_path, monkeypatch):
    on_cpu = compile_once("two_layers")
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path))
    calculator = MlipCalculator(portable_models["two_layers"], device="emulated")
    assert calculator.model.metadata["device"] == "cuda"
    atoms = rattled_triclinic(("H", "O"), seed=1)
    atoms.calc = calculator
    expected = atoms.copy()
    expected.calc = MlipCalculator(on_cpu, n_threads=1)
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


@pytest.mark.parametrize(("hidden_irreps", "measured"), [("128x0e", 14.4e9), ("128x0e+128x1o", 26.5e9)])
def test_the_gpu_memory_estimate_is_close_to_a_measurement(hidden_irreps, measured, tmp_path):
    # measured on an H200 with 97,336 atoms for the small and medium architectures, including other processes
    trained = random_model(
        elements=("Si",), hidden_irreps=hidden_irreps, l_max=3, correlation=2, cutoff=6.0, radial_widths=(8,)
    )
    write_portable(trained, tmp_path / "model.safetensors")
    model = export_model(tmp_path / "model.safetensors", tmp_path / "model.pt2", device="emulated").path
    found = estimate_gpu_run(model, 97_336, structure=bulk("Si", cubic=True))
    assert found.rank_bytes == pytest.approx(measured, rel=0.2)
    assert found.fitting[24] == pytest.approx(97_336 * 24e9 / measured, rel=0.3)
    assert list(found.fitting.values()) == sorted(found.fitting.values())


def test_estimate_shows_the_memory_of_the_gpu_and_no_time(compile_once, capsys):
    model = compile_once("two_layers", device="emulated")
    assert main(["estimate", str(model), "--atoms", "1000", "--ranks", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("500 owned" in line for line in lines)
    assert [line.split()[2] for line in lines if line.strip().startswith("capacity of")] == ["16", "24", "40", "80"]
    assert any("time per step" in line and "not estimated" in line for line in lines)
    assert main(["estimate", str(model), "--atoms", "0"]) == 2


def with_members(model, changed, change):
    """Write a copy of an archive; ``change`` takes name and content of a member and returns its content, or None."""
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = change(name, source.read(name))
            if content is not None:
                target.writestr(name, content)
    return changed


@pytest.mark.parametrize("member", ["plan.json", "weights.bin"])
def test_estimate_names_what_a_file_for_gpus_lacks(member, compile_once, tmp_path, capsys):
    whole = compile_once("two_layers", device="emulated")
    model = with_members(whole, tmp_path / "m.pt2", lambda name, text: None if name.endswith(f"/{member}") else text)
    assert main(["estimate", str(model), "--atoms", "1000"]) == 2
    shown = capsys.readouterr().err
    assert f"{model} is for a GPU but has no {member}; export the model again with" in shown


def test_estimate_names_a_plan_that_is_damaged(compile_once, tmp_path, capsys):
    whole = compile_once("two_layers", device="emulated")
    model = with_members(whole, tmp_path / "m.pt2", lambda name, text: b"{" if name.endswith("/plan.json") else text)
    assert main(["estimate", str(model), "--atoms", "1000"]) == 2
    assert "plan.json in" in capsys.readouterr().err


def test_info_prints_a_file_for_gpus(compile_once, capsys):
    assert main(["info", str(compile_once("two_layers", device="emulated"))]) == 0
    shown = capsys.readouterr().out
    assert "compute_capabilities" in shown
    assert "cuda" in shown
