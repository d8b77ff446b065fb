"""Tasks for ranks, which find this module on ``PYTHONPATH``; and a program that is killed while its ranks wait."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT

from mlip_lammps.workflows import Tasks

SLOW_SECONDS = 0.1
"""A task takes this long, so that each rank gets some."""


def process_task(calculator: Calculator, item: Any) -> int:
    """Return the process that works on the task."""
    time.sleep(SLOW_SECONDS)
    return os.getpid()


def folder_task(calculator: Calculator, item: Any) -> tuple[int, str]:
    """Return the process and its working folder."""
    return process_task(calculator, item), os.getcwd()


def failing_task(calculator: Calculator, item: Any) -> None:
    """Fail."""
    raise ValueError(f"item {item}")


def model_task(calculator: Calculator, item: Any) -> tuple[int, int]:
    """Return the process, and the number of tasks that have used this open model in it."""
    calculator.model.n_uses = getattr(calculator.model, "n_uses", 0) + 1
    return process_task(calculator, item), calculator.model.n_uses


def wait_for_a_kill(folder: Path) -> None:
    """Print the processes that work on some tasks, and keep the ranks."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs in the background of a shell ignore it
    tasks = Tasks(folder, n_ranks=2)
    print(*tasks.map("", process_task, EMT(), list(range(20))), flush=True)
    time.sleep(600)
