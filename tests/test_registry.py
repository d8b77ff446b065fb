"""Names of shipped models in place of files: resolved in one function, and compiled on first use by one rank."""

import json
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from lammps_run import run_command

from mlip_lammps import models
from mlip_lammps.cli.main import main
from mlip_lammps.compilation import cache, compiled_model, export, runnable_model
from mlip_lammps.core.errors import ModelFileError, UserInputError
from mlip_lammps.core.precision import DEFAULT_DTYPE
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.engines.lammps.process import find_program
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import write_portable

REPOSITORY = Path(__file__).parents[1]
TIME_LIMIT = 60
SESSION = """
import sys
import numpy as np
from ase import Atoms
from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.core.precision import DEFAULT_DTYPE
from mlip_lammps.engines.lammps.session import LammpsSession
with LammpsSession() as session:
    session.set_structure(Atoms("OH", positions=[[0, 0, 0], [1.1, 1.2, 1.3]], cell=[9, 9, 9], pbc=True))
    try:
        session.set_model("helium")
    except ModelFileError as error:
        refused = str(error)
    session.set_model(sys.argv[1])
    energy = session.evaluate().energy
    everywhere = session.communicator.gather((refused, energy))
    if everywhere:
        print([len(everywhere), len(set(everywhere)), energy])
"""


@pytest.fixture
def shipped(portable_models, monkeypatch) -> str:
    """Return the name of a shipped model, here a small test model."""
    folder = portable_models["one_layer"].parent / "shipped"
    (folder / "tiny").mkdir(parents=True, exist_ok=True)
    shutil.copy(portable_models["one_layer"], folder / "tiny" / "model.safetensors")
    (folder / "tiny" / "card.md").write_text("# tiny\n\nRandom weights (H, O); licence MIT; no test frames.\n\n")
    monkeypatch.setattr(models, "_FOLDER", folder)
    return "tiny"


@pytest.fixture
def compilations(compile_once, monkeypatch) -> list[Path]:
    """Return the list of requested compilations; each returns the file of ``one_layer`` instead."""
    compiled, made = compile_once("one_layer"), []

    def pretend(source, path, *, progress, **options):
        progress("reading")
        progress("comparing")
        made.append(source)
        shutil.copy(compiled, path)

    monkeypatch.setattr(export, "export_trained", pretend)
    return made


def dimer() -> Atoms:
    return Atoms("Si2", positions=[[0, 0, 0], [1.1, 1.2, 1.3]])


def test_a_calculator_takes_a_name_and_compiles_it_once(shipped, compilations, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path / "cache"))
    energies = []
    for _ in range(2):
        atoms = dimer()
        atoms.calc = MlipCalculator(shipped)
        energies.append(atoms.get_potential_energy())
    printed = capfd.readouterr()
    assert printed.err == "mlip-lammps: compiling tiny for this machine, about a minute, once\n"
    assert printed.out == ""
    assert len(compilations) == 1
    assert energies[0] == energies[1]
    (file,) = (tmp_path / "cache").glob("*.pt2")
    assert file.name.startswith(f"tiny-{DEFAULT_DTYPE}-")


def test_a_compiled_model_runs_without_importing_the_compiler(compile_once, tmp_path):
    """e3nn imports torch's compiler, which would add seconds to every start."""
    code = (
        "import sys\n"
        "from mlip_lammps.engines.ase.calculator import MlipCalculator\n"
        "MlipCalculator(sys.argv[1])\n"
        "print({'e3nn', 'torch._dynamo', 'torch._inductor'} & set(sys.modules))"
    )
    done = run_command([sys.executable, "-c", code, compile_once("one_layer")], tmp_path)
    assert done.output.strip() == "set()"


@pytest.mark.parametrize("is_there", [False, True])
def test_a_cache_that_cannot_be_written_to_names_its_variable(
    shipped, compilations, monkeypatch, tmp_path, capsys, is_there
):
    (tmp_path / "file").touch()
    folder = Path("/sys") if is_there else tmp_path / "file" / "cache"
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(folder))
    assert main(["estimate", shipped, "--atoms", "10"]) == 2
    printed = capsys.readouterr().err
    assert f"cannot write to the folder of compiled models {folder} (" in printed
    assert "set MLIP_LAMMPS_CACHE to a writable folder, or compile once with mlip-lammps " in printed
    assert "Traceback" not in printed
    assert compilations == []


def test_a_cache_that_cannot_be_written_to_still_gives_what_is_in_it(shipped, compilations, monkeypatch, tmp_path):
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path / "cache"))
    first = runnable_model(shipped)

    def refuse(folder):
        raise AssertionError(f"written to {folder}")

    monkeypatch.setattr(cache, "_make_writable", refuse)
    assert runnable_model(shipped) == first


def test_a_user_without_a_home_is_told_the_variable(shipped, compilations, monkeypatch):
    for name in ("MLIP_LAMMPS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    with pytest.raises(UserInputError, match="no home folder for compiled models; set MLIP_LAMMPS_CACHE"):
        runnable_model(shipped)


def test_a_second_process_waits_for_a_running_compilation(shipped, compilations, monkeypatch, tmp_path):
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path / "cache"))
    original, has_begun, may_end = export.export_trained, threading.Event(), threading.Event()

    def export_when_told(*arguments, **options):
        has_begun.set()
        assert may_end.wait(TIME_LIMIT)
        original(*arguments, **options)

    monkeypatch.setattr(export, "export_trained", export_when_told)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(compiled_model, shipped, progress=print)
        assert has_begun.wait(TIME_LIMIT)
        second = pool.submit(compiled_model, shipped, progress=print)
        assert not wait([second], timeout=0.5).done
        may_end.set()
        assert first.result() == second.result()
    assert len(compilations) == 1


def test_changed_weights_are_compiled_again(shipped, compilations, monkeypatch, tmp_path):
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "mine.safetensors"
    trained = read_model(shipped)
    for _ in range(2):
        write_portable(trained, file)
        compiled_model(file, progress=print)
    assert len(compilations) == 1
    trained.weights["scale_shift.scale"] = 1.01 * trained.weights["scale_shift.scale"]
    write_portable(trained, file)
    compiled_model(file, progress=print)
    assert len(compilations) == 2


def test_a_compiled_file_is_used_unchanged(shipped, compilations, compile_once):
    assert runnable_model(compile_once("one_layer")) == compile_once("one_layer")
    assert not compilations


def test_a_file_takes_precedence_over_a_shipped_model_of_its_name(shipped, portable_models, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    shutil.copy(portable_models["two_layers"], shipped)
    assert read_model(shipped).spec.n_layers == 2
    Path(shipped).unlink()
    assert read_model(shipped).spec.n_layers == 1


@pytest.mark.parametrize("entry", [read_model, runnable_model, compiled_model, MlipCalculator])
def test_every_entry_point_refuses_unknown_names_with_the_same_message(entry, shipped):
    with pytest.raises(ModelFileError, match=r"helium is neither a file nor the name of a model; .* one of tiny"):
        entry("helium")


def test_a_damaged_compiled_file_is_refused(tmp_path):
    (tmp_path / "bad.pt2").write_text("text")
    with pytest.raises(ModelFileError, match=r"bad\.pt2 is not a compiled model"):
        MlipCalculator(tmp_path / "bad.pt2")


def test_info_accepts_a_name(shipped, capsys):
    assert main(["info", shipped, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["form"], facts["cutoff"]) == ("portable", 3.5)


def test_a_session_of_two_ranks_compiles_a_model_and_refuses_on_all_ranks(portable_models, compile_once, tmp_path):
    compile_once("two_layers", DEFAULT_DTYPE)  # already in the cache, so that the session need not compile
    command = [find_program("mpiexec"), "-n", 2, find_program("python"), "-c", SESSION, portable_models["two_layers"]]
    done = run_command(command, tmp_path, changes={"PYTHONPATH": str(REPOSITORY)})
    n_ranks, n_answers, energy = json.loads(done.output.splitlines()[-1])
    atoms = Atoms("OH", positions=dimer().positions)
    atoms.calc = MlipCalculator(compile_once("two_layers", DEFAULT_DTYPE))
    assert (n_ranks, n_answers) == (2, 1)
    np.testing.assert_allclose(energy, atoms.get_potential_energy(), atol=1e-8)
