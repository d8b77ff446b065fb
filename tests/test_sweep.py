"""Campaigns: all combinations run once, failures are named, and bad files are refused before anything runs."""

import json
import re
import signal
import subprocess
import time

import pytest
from ase.build import bulk

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.core.processes import python_module
from mlip_lammps.workflows.sweep import read_campaign, write_options

TIME_LIMIT = 120
CAMPAIGN = """
command = "md"
model = "silicon-pbe"
structures = "si.xyz"
time = 0.04
timestep = 1.0
dtype = "float64"
thermo-every = 1
{more}
[vary]
temperature = [300, 600]
seed = [1, 2]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atoms = bulk("Si", a=5.47, cubic=True)
    atoms.rattle(0.02, seed=1)
    atoms.write("si.xyz")
    return tmp_path


def write(text: str = CAMPAIGN, more: str = "") -> None:
    with open("si.toml", "w") as file:
        file.write(text.replace("{more}", more))


def wait_until(is_true) -> None:
    end = time.monotonic() + TIME_LIMIT
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_all_combinations_run_once(folder, capsys):
    write()
    assert main(["sweep", "si.toml", "--jobs", "2"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"600\s+2\s+40", shown)
    runs = sorted((folder / "out/si").glob("temperature*"))
    assert len(runs) == 4
    temperatures = [json.loads((run / "results.json").read_text())["temperature"]["mean"] for run in runs]
    assert 1.7 < temperatures[2] / temperatures[0] < 2.3
    assert len((folder / "out/si/sweep.csv").read_text().splitlines()) == 5
    assert (folder / "out/si/sweep.png").stat().st_size > 5000
    ends = [(run / "run.json").stat().st_mtime_ns for run in runs]
    assert main(["sweep", "si.toml"]) == 0
    assert [(run / "run.json").stat().st_mtime_ns for run in runs] == ends
    assert "mean temperature" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("table", "columns", "words"),
    [
        ("", 1, "no run has a number at the top of its results; name some of these in [table]: si."),
        ("[table]\nE = 'si.energy'\nS = 'si.stress.zz'", 3, "no run has a number at si.stress.zz; name some"),
        ("[table]\nE = 'si.energy'", 3, None),
    ],
)
def test_results_that_no_run_has_are_named(table, columns, words, folder, capsys):
    write(f"command = 'relax'\nmodel = 'silicon-pbe'\nstructures = 'si.xyz'\n[vary]\nmax-steps = [100]\n{table}\n")
    assert main(["sweep", "si.toml"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert words in shown and "si.energy" in shown if words else "warning" not in shown
    assert len((folder / "out/si/sweep.csv").read_text().splitlines()[0].split(",")) == columns


def test_a_changed_structure_file_repeats_the_runs(folder):
    write("command = 'relax'\nmodel = 'silicon-pbe'\nstructures = 'si.xyz'\n[vary]\nmax-steps = [100]\n")
    energies = []
    for a in (5.47, 5.2):
        bulk("Si", a=a, cubic=True).write("si.xyz")
        assert main(["sweep", "si.toml"]) == 0
        energies.append(json.loads((folder / "out/si/max-steps=100/results.json").read_text())["si"]["energy"])
    assert energies[1] > energies[0] + 0.5


def test_a_failed_run_is_named_and_repeated(folder, capsys):
    write(CAMPAIGN.replace("[300, 600]", "[0, 300]").replace("[1, 2]", "[1]"))
    assert main(["sweep", "si.toml"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "temperature=0,seed=1 failed: the temperature of the thermostat is 0 K" in shown
    assert "1 of 2 runs failed" in shown
    good = folder / "out/si/temperature=300,seed=1/run.json"
    end = good.stat().st_mtime_ns
    assert main(["sweep", "si.toml"]) == 1
    assert good.stat().st_mtime_ns == end


def test_a_change_of_options_repeats_a_run(folder):
    write()
    campaign = read_campaign(folder / "si.toml")
    files = write_options(campaign, folder / "runs")
    (folder / "runs" / campaign.runs[0].name / "results.json").write_text("{}")
    write(more="thermostat = 'csvr'")
    assert write_options(read_campaign(folder / "si.toml"), folder / "runs") == files
    assert not (folder / "runs" / campaign.runs[0].name / "results.json").exists()


def test_an_interrupt_ends_the_runs(folder):
    write(CAMPAIGN.replace("time = 0.04", "time = 1000"))
    command = [*python_module("mlip_lammps.cli.main"), "sweep", "si.toml", "--jobs", "2"]
    # the shell that runs the tests in the background may ignore SIGINT, and children inherit that
    process = subprocess.Popen(command, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        wait_until(lambda: len(list(folder.glob("out/si/*/trajectory.lammpstrj"))) == 2)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=TIME_LIMIT) == 130
    finally:
        process.kill()
    wait_until(lambda: subprocess.run(["pgrep", "-f", str(folder)], check=False, capture_output=True).returncode == 1)
    records = [json.loads(file.read_text()) for file in folder.glob("out/si/*/run.json")]
    assert [record["status"] for record in records] == ["interrupted", "interrupted"]


def test_a_slurm_script_has_a_task_for_each_run(folder, capsys):
    write(more="ranks = 2")
    assert main(["sweep", "si.toml", "--slurm", "job.sh"]) == 0
    script = (folder / "job.sh").read_text()
    assert "#SBATCH --array=0-3\n" in script
    assert "#SBATCH --ntasks=2\n" in script
    assert subprocess.run(["bash", "-n", "job.sh"], check=False).returncode == 0
    assert 'mlip-lammps sweep si.toml --out out/si --only "$SLURM_ARRAY_TASK_ID"' in script
    assert main(["sweep", "si.toml", "--only", "4"]) == 2
    assert "the campaign has 4 runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[vary]\nseed = [1]", "has no command"),
        ('command = "md"', "needs a table [vary]"),
        ('command = "md"\n[vary]\nseed = 1', "needs a table [vary]"),
        ('command = "md"\nseed = 2\n[vary]\nseed = [1]', "gives seed twice"),
        ('command = "md"\n[vary]\nseed = [1, 1]', "two runs have the same options"),
        ('command = "md"\n[vary]\nseed = [1]\n[table]\nD = 3', "paths of results"),
        ('command = "md"\n[vary]\nseed = [1]\n[table]\nseed = "volume"', "give the result another heading"),
        ("command =", "give a TOML file"),
    ],
)
def test_a_file_that_is_no_campaign_is_refused(folder, text, message):
    write(text)
    with pytest.raises(UserInputError, match=re.escape(message)):
        read_campaign(folder / "si.toml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CAMPAIGN.replace('"md"', '"info"'), "command is 'info'; give one of adsorb, "),
        (CAMPAIGN.replace("seed =", "sead ="), "si.toml: sead is not an option"),
        (CAMPAIGN.replace("[1, 2]", "[1, -2]"), "si.toml: seed: -2 is not a whole number from 1"),
    ],
)
def test_options_are_checked_before_the_first_run(folder, capsys, text, message):
    write(text)
    assert main(["sweep", "si.toml"]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out").exists()
