"""The command line: output, import time, exit codes and the demo.

The demo runs with a stock LAMMPS pair style here; the shipped model runs in the same way.
"""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from ase.build import bulk, molecule

from mlip_lammps import cli
from mlip_lammps.cli import main as main_module
from mlip_lammps.cli._demo_settings import read_demo_settings, shipped_settings
from mlip_lammps.cli.info import _text
from mlip_lammps.cli.main import find_subcommands, main
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.core.precision import DEFAULT_DTYPE
from mlip_lammps.engines.lammps.process import LoopTime, ThermoReader, find_program, input_word
from mlip_lammps.engines.mpi_process import MpiProcess
from mlip_lammps.models import resolve_model
from mlip_lammps.structure.boxes import build_box
from mlip_lammps.structure.lammps_data import write_lammps_data
from mlip_lammps.workflows.timed_run import steps_for

TIME_LIMIT = 120
INPUTS = Path(__file__).parents[1] / "inputs"

DEMO = """
title = "Something like a liquid"
input = "in.demo"
data = "box.data"
target_temperature = 300.0
[rdf]
file = "rdf_oo.txt"
pair = "O-O"
[rdf.reference]
label = "elsewhere"
r = [2.0, 3.0]
g = [2.5, 0.5]
"""


@pytest.fixture
def demo_folder(tmp_path):
    """Return a folder with the shipped input, in which a stock pair style replaces the model, and a box."""
    shipped = (INPUTS / "in.water_nvt").read_text()
    lines = [
        {"pair_style": "pair_style lj/cut 4.5", "pair_coeff": "pair_coeff * * 0.005 1.2"}.get(
            line.partition(" ")[0], line
        )
        for line in shipped.splitlines()
    ]
    (tmp_path / "in.demo").write_text("\n".join(lines) + "\n")
    (tmp_path / "demo.toml").write_text(DEMO)
    write_lammps_data(tmp_path / "box.data", build_box(molecule("H2O"), 64, 0.9), ["H", "O"])
    return tmp_path


def command(*words: object) -> list[str]:
    return [find_program("mlip-lammps"), *map(str, words)]


def run(*words: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), cwd=cwd, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)


def test_help_imports_nothing_that_is_slow():
    code = (
        "import sys, json\n"
        "from mlip_lammps.cli.main import build_parser\n"
        "build_parser().format_help()\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=TIME_LIMIT)
    loaded = set(json.loads(done.stdout))
    assert not loaded & {"torch", "numpy", "ase", "lammps", "e3nn", "matplotlib", "rich"}


@pytest.mark.parametrize("module", find_subcommands(), ids=lambda module: module.NAME)
def test_every_subcommand_has_help(module, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([module.NAME, "--help"])
    assert stopped.value.code == 0
    assert f"mlip-lammps {module.NAME}" in capsys.readouterr().out


def test_the_version_option_prints_the_package_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.startswith("mlip-lammps ")


@pytest.mark.parametrize(
    ("error", "code"),
    [(UserInputError("mend it"), 2), (MlipError("it failed"), 1), (KeyboardInterrupt(), 130)],
)
def test_an_error_gives_one_line_and_its_exit_code(error, code, monkeypatch, capsys):
    def fail(arguments):
        raise error

    (module,) = (m for m in find_subcommands() if m.NAME == "box")
    monkeypatch.setattr(module, "run", fail)
    monkeypatch.setattr(main_module, "find_subcommands", lambda: [module])
    assert main(["box", "H2O", "-n", "1", "--density", "1", "-o", "x"]) == code
    printed = capsys.readouterr().err
    assert printed == f"mlip-lammps: {str(error) or 'interrupted'}\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_a_failure_that_names_the_folder(number, monkeypatch, capsys):
    def fail(arguments):
        raise OSError(number, os.strerror(number))

    (module,) = (m for m in find_subcommands() if m.NAME == "relax")
    monkeypatch.setattr(module, "run", fail)
    assert main(["relax", "m", "a.xyz", "--out", "here"]) == 1
    expected = f"mlip-lammps: here: {os.strerror(number)}; free some space and repeat the command\n"
    assert capsys.readouterr().err == expected


def test_box_writes_a_data_file_and_refuses_an_unknown_molecule(tmp_path):
    good = run("box", "H2O", "-n", 8, "--density", 0.9, "--elements", "H", "O", "-o", "b.data", cwd=tmp_path)
    assert good.returncode == 0
    assert "24 atoms" in good.stdout
    assert "24 atoms" in (tmp_path / "b.data").read_text()
    bad = run("box", "H3O", "-n", 8, "--density", 0.9, "-o", "b.data", cwd=tmp_path)
    assert bad.returncode == 2
    assert "does not know H3O" in bad.stderr
    assert "Traceback" not in bad.stderr


def test_piped_output_has_whole_lines(tmp_path):
    folder = tmp_path / ("a-long-name" * 20)
    folder.mkdir()
    shutil.copy(resolve_model("water-revpbe0d3"), folder / "model.safetensors")
    (folder / "text.dat").write_text("no model")
    model = folder / "model.safetensors"
    facts = dict(line.split(maxsplit=1) for line in run("info", model).stdout.splitlines())
    assert facts["source"].split()[-1] == json.loads(run("info", "--json", model).stdout)["source"]["sha256"]
    assert str(folder / "text.dat") in run("info", folder / "text.dat").stdout


def test_every_command_prints_on_the_console_of_the_package():
    """Another console would wrap the lines of a pipe at 80 columns."""
    folder = Path(cli.__path__[0])
    own = [file.name for file in folder.glob("*.py") if "Console(" in file.read_text()]
    assert own == ["_console.py"]


def test_a_value_is_readable_in_a_table():
    table = {"names": ["a", "b"], "size": 2, "matrix": [[1, 2], [3, 4]], "none": None, "yes": True}
    assert _text(table) == "names a b, size 2, matrix 1 2; 3 4, none none, yes yes"


def test_the_installed_demo_is_that_of_the_checkout():
    assert shipped_settings() == INPUTS / "demo.toml"
    build = tomllib.loads((INPUTS.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert build["package-dir"]["mlip_lammps.inputs"] == "inputs"
    assert "mlip_lammps.inputs" in build["packages"]
    assert build["package-data"]["mlip_lammps.inputs"] == ["*"]


def test_the_demo_needs_no_clone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = []
    monkeypatch.setattr("mlip_lammps.cli._demo.run_demo", lambda **given: wanted.append(given))
    assert main(["demo"]) == 0
    settings = read_demo_settings(wanted[0]["settings_file"])
    assert settings.input.is_file()
    assert settings.data.is_file()


def test_the_demo_runs_on_two_ranks_and_writes_its_plot(demo_folder, monkeypatch, capsys):
    monkeypatch.chdir(demo_folder)
    assert main(["demo", "demo.toml", "--steps", "100", "--out", "out"]) == 0
    printed = capsys.readouterr().out
    assert "100 steps of 192 atoms on 2 ranks" in printed
    assert "atom-steps/s" in printed
    assert "picture: out/picture.png" in printed
    assert (demo_folder / "out" / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_the_demo_shows_the_last_lines_of_a_failed_run(demo_folder, monkeypatch, capsys):
    monkeypatch.chdir(demo_folder)
    script = demo_folder / "in.demo"
    script.write_text(script.read_text().replace("lj/cut", "lj/cat"))
    assert main(["demo", "demo.toml", "--steps", "100", "--out", "out"]) == 1
    assert "Unrecognized pair style 'lj/cat'" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_demo_leaves_no_rank_behind(demo_folder, number):
    process = subprocess.Popen(
        command("demo", "demo.toml", "--steps", 100_000_000, "--out", "out"),
        cwd=demo_folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # tests in the background of a shell ignore interrupts, and child processes would inherit this
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for line in process.stdout:
            if line.startswith("step 0/"):
                break
        process.send_signal(number)
        assert "interrupted" in process.communicate(timeout=TIME_LIMIT)[0]
    finally:
        process.kill()
    assert process.returncode == 130
    deadline = time.monotonic() + 10
    while left := processes_in(demo_folder):
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.1)


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of the processes with the working folder ``folder``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(entry / "cwd") == str(folder):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('input = "in.demo"\n', "", "lacks the key 'input'"),
        ("in.demo", "in.other", "names .*in.other, which does not exist"),
        ("300.0", '"warm"', "is not valid"),
        ("[rdf]", "[rdf", "is not valid"),
    ],
)
def test_invalid_demo_settings_are_refused(demo_folder, old, new, message):
    path = demo_folder / "demo.toml"
    path.write_text(DEMO.replace(old, new))
    with pytest.raises(UserInputError, match=message):
        read_demo_settings(path)


def test_too_few_steps_for_the_picture_are_refused_before_the_run(demo_folder, monkeypatch, capsys):
    monkeypatch.chdir(demo_folder)
    assert main(["demo", "demo.toml", "--steps", "99", "--out", "out"]) == 2
    assert "--steps is 99, but the picture needs g(r), which is written every 100 steps" in capsys.readouterr().err
    assert not (demo_folder / "out").exists()


def test_a_model_is_not_compiled_for_elements_that_it_lacks(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path / "cache"))
    bulk("Si").write(tmp_path / "silicon.extxyz")
    assert main(["relax", "water-revpbe0d3", str(tmp_path / "silicon.extxyz"), "--out", str(tmp_path / "out")]) == 2
    assert "contains Si, but the model knows H, O" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_info_states_the_licence_of_a_shipped_model(capsys):
    assert main(["info", "water-revpbe0d3"]) == 0
    assert "licence CC-BY-SA-4.0" in " ".join(capsys.readouterr().out.split())


def test_the_demo_runs_in_the_default_precision():
    assert read_demo_settings(INPUTS / "demo.toml").dtype == DEFAULT_DTYPE


def test_the_demo_takes_folders_of_any_name(demo_folder, monkeypatch):
    folder = demo_folder / "Größe 水, a 'quoted' name"
    folder.mkdir()
    for file in ("in.demo", "demo.toml", "box.data"):
        (demo_folder / file).rename(folder / file)
    # from elsewhere, so that the paths are absolute and have the name in them
    monkeypatch.chdir("/")
    assert main(["demo", str(folder / "demo.toml"), "--steps", "100", "--out", str(folder / "out put")]) == 0
    assert (folder / "out put" / "picture.png").is_file()
    assert (folder / "out put" / "water.lammpstrj").is_file()


@pytest.mark.parametrize(
    ("path", "word"),
    [("a/b.pt2", "a/b.pt2"), ("ü.pt2", "ü.pt2"), ("a b", '"a b"'), ('a" b', "'a\" b'"), ("a$b", '"a$b"'), ("", '""')],
)
def test_a_path_is_one_word_of_an_input(path, word):
    assert input_word(path) == word


def test_a_path_with_both_quotes_is_refused():
    with pytest.raises(UserInputError, match="both kinds of quotes"):
        input_word("""a'b"c""")


def test_missing_demo_settings_are_refused(tmp_path):
    with pytest.raises(UserInputError, match="cannot read"):
        read_demo_settings(tmp_path / "demo.toml")


def test_the_number_of_steps_follows_the_measured_speed():
    pace = LoopTime(seconds=2.0, n_ranks=2, n_steps=40, n_atoms=192)
    assert steps_for(2.0, pace) == 2400
    assert steps_for(1e-6, pace) == 100
    assert pace.atom_steps_per_second == pytest.approx(3840)


def test_thermo_rows_are_distinguished_from_other_output():
    reader = ThermoReader()
    lines = [
        "Setting up Verlet run ...",
        "   Step          Temp          PotEng    ",
        "         0   300            23.77129",
        "WARNING: Three words",
        "        10   nan            1e-3",
        "Loop time of 0.5 on 2 procs for 10 steps with 6 atoms",
        "1 2 3",
    ]
    rows = [row for line in lines if (row := reader.read(line))]
    assert [row["Step"] for row in rows] == [0.0, 10.0]
    assert rows[0]["PotEng"] == pytest.approx(23.77129)
    assert reader.loop_times == [LoopTime(0.5, 2, 10, 6)]


def test_the_search_path_is_the_fallback_for_programs_beside_python(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert find_program("sh") == shutil.which("sh")
    with pytest.raises(UserInputError, match="no-such-program is not installed"):
        find_program("no-such-program")


def test_an_mpiexec_that_would_hang_is_refused(monkeypatch, tmp_path):
    shutil.copy(find_program("mpiexec"), tmp_path / "mpiexec")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for _ in range(2):  # without the file, and with one that is not executable
        with pytest.raises(UserInputError, match=r"the program hydra_pmi_proxy is missing beside it; run: pip install"):
            MpiProcess(["true"], 1, name="True")
        (tmp_path / "hydra_pmi_proxy").touch(mode=0o600)
    (tmp_path / "hydra_pmi_proxy").chmod(0o700)
    MpiProcess(["true"], 1, name="True")


def test_an_mpiexec_of_another_mpi_needs_no_proxy(monkeypatch, tmp_path):
    (tmp_path / "mpiexec").write_text("#!/bin/sh\nshift 2\nexec \"$@\"\n")
    (tmp_path / "mpiexec").chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with MpiProcess(["echo", "ranks"], 1, name="Echo") as process:
        assert list(process.lines()) == ["ranks\n"]
