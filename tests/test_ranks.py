"""Ranks that wait for further tasks: one start for a whole command, errors, and the end of the program."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import rank_tasks
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_lammps import MlipCalculator
from mlip_lammps.cli.main import main
from mlip_lammps.core.processes import python_module
from mlip_lammps.workflows import Tasks
from mlip_lammps.workflows import ranks as ranks_module
from mlip_lammps.workflows.ranks import Ranks, start_before

ITEMS = list(range(20))
"""A task takes 0.1 s, so that a rank, which starts in less than 1 s, gets some."""

END_SECONDS = 10.0


@pytest.fixture(autouse=True)
def _tasks_on_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(rank_tasks.__file__).parent))


def is_alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"  # nobody waits for a process whose parent was killed


def until(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds, at most `END_SECONDS`."""
    end = time.monotonic() + END_SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def others(process_ids: list[int]) -> set[int]:
    return set(process_ids) - {os.getpid()}


def test_ranks_start_once_for_several_stages_and_end_with_the_block(tmp_path):
    with Tasks(tmp_path, n_ranks=2) as tasks:
        first = others(tasks.map("first", rank_tasks.process_task, EMT(), ITEMS))
        second = others(tasks.map("second", rank_tasks.process_task, EMT(), [-item - 1 for item in ITEMS]))
        assert len(first) == 1
        assert first == second
    assert not is_alive(*first)
    assert not list(tmp_path.glob("ranks-*"))


def test_ranks_end_when_their_tasks_are_no_longer_used(tmp_path):
    (rank,) = others(Tasks(tmp_path, n_ranks=2).map("", rank_tasks.process_task, EMT(), ITEMS))
    assert not is_alive(rank)
    assert not list(tmp_path.glob("ranks-*"))


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ranks_end_when_their_program_is_killed(signal_number, tmp_path):
    program_text = "import sys, pathlib, rank_tasks; rank_tasks.wait_for_a_kill(pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-c", program_text, tmp_path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as program:
        (rank,) = {int(word) for word in program.stdout.readline().split()} - {program.pid}
        assert is_alive(rank)
        program.send_signal(signal_number)
    assert until(lambda: not is_alive(rank))
    assert bool(list(tmp_path.glob("ranks-*"))) == (signal_number != signal.SIGINT)


def test_an_error_of_a_task_leaves_the_ranks_for_further_tasks():
    with Tasks(n_ranks=2) as tasks:
        before = others(tasks.map("", rank_tasks.process_task, EMT(), ITEMS))
        with pytest.raises(ValueError, match="item 0"):
            tasks.map("", rank_tasks.failing_task, EMT(), ITEMS)
        assert others(tasks.map("", rank_tasks.process_task, EMT(), ITEMS)) == before


def test_ranks_start_again_after_they_were_killed_or_this_process_was_interrupted():
    def interrupt(stage: str, n_done: int, n_tasks: int) -> None:
        if stage == "interrupted" and n_done == 2:
            raise KeyboardInterrupt

    tasks = Tasks(n_ranks=2, report=interrupt)
    (first,) = others(tasks.map("", rank_tasks.process_task, EMT(), ITEMS))
    with pytest.raises(KeyboardInterrupt):
        tasks.map("interrupted", rank_tasks.process_task, EMT(), ITEMS)
    assert not is_alive(first)
    (second,) = others(tasks.map("", rank_tasks.process_task, EMT(), ITEMS))
    os.kill(second, signal.SIGKILL)
    assert until(lambda: not tasks._ranks.are_usable)
    (third,) = others(tasks.map("", rank_tasks.process_task, EMT(), ITEMS))
    assert third != second
    tasks.close()


def test_a_rank_opens_a_model_once(compile_once):
    calculator = MlipCalculator(compile_once("one_layer"))
    with Tasks(n_ranks=2) as tasks:
        tasks.prepare(calculator)
        stages = [tasks.map("", rank_tasks.model_task, calculator, ITEMS) for _ in range(3)]
    uses = [n_uses for stage in stages for process, n_uses in stage if process != os.getpid()]
    assert uses == list(range(1, len(uses) + 1))
    assert len(uses) >= len(stages)


def test_ranks_follow_to_another_working_folder(tmp_path, monkeypatch):
    with Tasks(n_ranks=2) as tasks:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            monkeypatch.chdir(tmp_path / name)
            found = [tuple(one) for one in tasks.map(name, rank_tasks.folder_task, EMT(), ITEMS)]
            assert len(set(found)) == 2
            assert {folder for _, folder in found} == {str(tmp_path / name)}


def test_ranks_that_wait_use_no_processor_time():
    with Tasks(n_ranks=2) as tasks:
        (rank,) = others(tasks.map("", rank_tasks.process_task, EMT(), ITEMS))

        def ticks() -> int:
            return sum(map(int, Path(f"/proc/{rank}/stat").read_text().rpartition(")")[2].split()[11:13]))

        most, used = 0.02 * 2.0 * os.sysconf("SC_CLK_TCK"), []
        while len(used) < 5 and (not used or used[-1] > most):  # on a busy machine, it finishes its tasks at first
            before = ticks()
            time.sleep(2.0)
            used.append(ticks() - before)
        assert used[-1] <= most


def test_a_command_starts_ranks_once_and_before_it_opens_files(tmp_path, monkeypatch, capsys):
    started = []

    class Counted(Ranks):
        def __init__(self, *arguments):
            started.append("late" if (tmp_path / "out").exists() else "early")
            super().__init__(*arguments)

    monkeypatch.setattr(ranks_module, "Ranks", Counted)
    for k in range(3):
        write_silicon(tmp_path / f"si-{k}.extxyz", k)
    files = [str(tmp_path / f"si-{k}.extxyz") for k in range(3)]
    command = ["relax", "silicon-pbe", *files, "--out", str(tmp_path / "out"), "--ranks", "2"]
    assert main(command) == 0
    assert started == ["early"]
    assert not list((tmp_path / "out").rglob("ranks-*"))
    capsys.readouterr()


def write_silicon(path: Path, seed: int) -> None:
    atoms: Atoms = bulk("Si", a=5.47, cubic=True)
    atoms.rattle(0.05, seed=seed)
    atoms.write(path)


def test_ranks_do_not_wait_for_a_folder_that_another_user_may_create(tmp_path):
    tmp_path.chmod(0o1777)
    assert start_before(tmp_path / "out" / "tasks", 1) is None


def test_a_worker_whose_launcher_is_killed_ends(tmp_path):
    ranks = Ranks(tmp_path / "ranks", 1)
    program = python_module("mlip_lammps.workflows.worker")[-1]

    def workers() -> list[int]:
        found = []
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_text().split("\0")
            except OSError:
                continue
            if program in words and str(tmp_path / "ranks") in words and "python" in words[0]:
                found.append(int(file.parent.name))
        return found

    assert until(lambda: len(workers()) == 1)
    (rank,) = workers()
    time.sleep(1.0)  # until it has imported what it needs
    ranks._process._process.kill()
    assert until(lambda: not is_alive(rank))
    assert not ranks.are_usable
    ranks.close()


def test_a_calculator_that_ranks_cannot_import_is_named(tmp_path, monkeypatch):
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from ase.calculators.emt import EMT\n"
        "from ase.build import bulk\n"
        "from mlip_lammps.core.errors import MlipError\n"
        "from mlip_lammps.workflows import Tasks, relax_all\n"
        "class Own(EMT):\n"
        "    def calculate(self, *arguments):\n"
        "        time.sleep(0.1)  # as a rank takes a moment to start\n"
        "        super().calculate(*arguments)\n"
        "try:\n"
        "    relax_all({str(k): bulk('Cu', a=3.6 + 1e-3 * k) for k in range(50)}, Own(), tasks=Tasks(n_ranks=2))\n"
        "except MlipError as error:\n"
        "    print(error)\n"
    )
    printed = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout
    assert "a rank cannot import the calculator (Can't get attribute 'Own'" in printed
    assert "PYTHONPATH, or use one rank" in printed
