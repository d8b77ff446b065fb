"""The requested device in ``pair_style``, on the command line and in Python, and its report in a run."""

import numpy as np
import pytest
from lammps_run import run_lammps
from lammps_structures import write_data

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.model_file.compiled_model import CompiledModel, Gpu, gpu_of
from mlip_lammps.testing.emulated_gpu import ResidentModel
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.workflows import estimate_gpu
from mlip_lammps.workflows.estimate import SKIN, close_packing

ELEMENTS = ("H", "O")
DECK = "units metal\nread_data box.data\npair_style mlip/torch {}\npair_coeff * * {} H O\n{}\n"
WRONG = {
    "cpu": "is for a GPU, but pair_style has device cpu; export the model with --device cpu, or use: pair_style "
    "mlip/torch device auto",
    "cuda": "is for a CPU, but pair_style has device cuda; export the model with --device cuda, or use: pair_style "
    "mlip/torch device auto",
}


@pytest.fixture(scope="module")
def models(compile_once):
    """Return one model per device."""
    return {"cpu": compile_once("two_layers"), "cuda": compile_once("two_layers", device="emulated")}


@pytest.fixture
def folder(tmp_path):
    write_data(tmp_path / "box.data", rattled_triclinic(ELEMENTS, seed=3), ELEMENTS)
    return tmp_path


def words_of(output: str) -> str:
    return " ".join(output.split())


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_file_for_the_device_runs_and_the_log_names_it(device, models, folder):
    for word in ("", "device auto", f"device {device}"):
        done = run_lammps(DECK.format(word, models[device], "run 0"), 1, folder)
        line = next(line for line in done.output.splitlines() if line.startswith("mlip/torch: /"))
        if device == "cuda":
            assert line.endswith("float64 on emulated GPU")
        else:
            assert "float64 on cpu, torch " in line
            assert line.endswith("1 thread(s) per rank")


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize(("asked", "other"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_file_for_another_device_is_refused(asked, other, n_ranks, models, folder):
    done = run_lammps(DECK.format(f"device {asked}", models[other], "run 0"), n_ranks, folder, is_refused=True)
    assert WRONG[asked] in words_of(done.output)


def test_a_device_given_after_the_model_is_checked_before_the_run(models, folder):
    deck = DECK.format("", models["cuda"], "pair_style mlip/torch device cpu\nrun 0")
    done = run_lammps(deck, 2, folder, is_refused=True)
    assert WRONG["cpu"] in words_of(done.output)


def test_an_unknown_device_is_refused(models, folder):
    done = run_lammps(DECK.format("device gpu", models["cpu"], "run 0"), 1, folder, is_refused=True)
    assert "device is gpu; use one of: auto, cpu, cuda" in words_of(done.output)


def test_a_restart_file_keeps_the_device(models, folder):
    run_lammps(DECK.format("device cpu", models["cpu"], "run 0\nwrite_restart box.restart"), 1, folder)
    again = "units metal\nread_restart box.restart\n{}\npair_coeff * * {} H O\nrun 0\n"
    done = run_lammps(again.format("", models["cuda"]), 1, folder, is_refused=True)
    assert WRONG["cpu"] in words_of(done.output)
    run_lammps(again.format("pair_style mlip/torch device auto", models["cuda"]), 1, folder)


def test_commands_and_the_calculator_refuse_a_compiled_file_for_another_device(models, capsys):
    for name, asked in (("cuda", "cpu"), ("cpu", "cuda")):
        with pytest.raises(UserInputError, match=f"but device {asked} is requested"):
            MlipCalculator(models[name], device=asked)
        for command in (["verify"], ["estimate", "--atoms", "10"]):
            assert main([*command, str(models[name]), "--device", asked]) == 2
            assert f"mlip-lammps export --device {asked}" in capsys.readouterr().err


def test_a_model_reports_its_device(models):
    assert CompiledModel(models["cpu"], n_threads=1).gpu is None
    gpu = CompiledModel(models["cuda"]).gpu
    assert gpu.is_emulated
    assert 0 < gpu.free_bytes < gpu.total_bytes == 2**40


def test_the_calculator_gives_the_same_on_every_device(models):
    found = {}
    for name, model in models.items():
        atoms = rattled_triclinic(ELEMENTS, seed=5)
        atoms.calc = MlipCalculator(model, n_threads=1, device=name)
        found[name] = atoms.get_forces()
    np.testing.assert_allclose(found["cuda"], found["cpu"], rtol=0, atol=1e-9)


def test_estimate_prints_the_gpu_memory_of_the_engine(models):
    atoms = close_packing(ELEMENTS).repeat(2)
    model = ResidentModel(models["cuda"])
    model.step(atoms, SKIN)
    gpu = gpu_of(model._library, model._handle)
    found = estimate_gpu.estimate_gpu_run(models["cuda"], len(atoms), structure=atoms)
    assert found.engine_bytes == pytest.approx(gpu.total_bytes - gpu.free_bytes, rel=0.05)
    assert (found.gpu, found.seconds_per_step) == (None, None)
    assert list(found.fitting) == [16, 24, 40, 80]


def test_estimate_times_a_step_if_there_is_a_gpu(models, monkeypatch, capsys):
    card = Gpu("a card", free_bytes=5 * 10**9, total_bytes=6 * 10**9)
    monkeypatch.setattr(estimate_gpu, "find_gpu", lambda model: card)
    monkeypatch.setattr(estimate_gpu, "_TIMED_ATOMS", 32)
    monkeypatch.setattr(estimate_gpu.time_step, "__defaults__", (2,))
    assert main(["estimate", str(models["cuda"]), "--atoms", "64000", "--ranks", "2"]) == 0
    shown = capsys.readouterr().out
    assert "capacity of 6 GB" in shown
    assert "measured now with 32 atoms on one rank, a card" in shown
    assert "1000 steps" in shown
