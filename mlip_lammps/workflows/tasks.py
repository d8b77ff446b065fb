"""Independent tasks with one calculator: here one after another, or side by side on MPI ranks.

A task is a function of a calculator and an item. Results of finished tasks are files in a folder: a run that was
interrupted continues after them.
"""

import csv
import hashlib
import io
import os
import pickle
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ase.calculators.calculator import Calculator
from ase.io.jsonio import decode, encode

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.core.processes import python_module
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.mpi_process import MpiProcess
from mlip_lammps.workflows.settings import require_settings

JOB_FILE = "job.pickle"
DONE = "@done"
"""Announces a finished task in the output of a rank."""

_WORKER = "mlip_lammps.workflows.worker"

_NOTHING = object()
"""Stands for the result of a task that has not finished; None is a result."""

Task = Callable[[Calculator, Any], Any]
"""A function of a module: calculator and item in, result out. ASE must be able to write item and result as JSON."""

Report = Callable[[str, int, int], None]
"""Called with the name of a stage, the number of finished tasks and the number of tasks."""


class Tasks:
    """Where tasks run and where their results are kept.

    Parameters
    ----------
    folder
        Folder for the results of finished tasks, created if missing; None to keep none.
    n_ranks
        Number of processes. With 1, tasks run in this process.
    report
        See `Report`.

    Raises
    ------
    UserInputError
        If ``n_ranks`` is below 1.
    """

    def __init__(
        self, folder: Path | None = None, n_ranks: int = 1, report: Report = lambda stage, n_done, n_tasks: None
    ) -> None:
        require_settings(n_ranks=n_ranks)
        self.folder = folder
        self.n_ranks = n_ranks
        self.report = report

    def map(self, stage: str, task: Task, calculator: Calculator, items: Sequence[Any]) -> list[Any]:
        """Return the result of ``task`` for each item, in their order.

        Parameters
        ----------
        stage
            Name of the stage in progress reports.
        task
            See `Task`.
        calculator
            ASE calculator; with several ranks, each has a copy.
        items
            Arguments of the tasks.

        Raises
        ------
        UserInputError
            If the calculator cannot be copied to another process.
        MlipError
            If a process ends early. An error of a task is raised again, after the other tasks have finished.
        """
        if self.folder is None:
            with TemporaryDirectory(prefix="mlip-lammps-") as scratch:
                return self._map(Path(scratch), stage, task, calculator, items)
        self.folder.mkdir(parents=True, exist_ok=True)
        return self._map(self.folder, stage, task, calculator, items)

    def _map(self, folder: Path, stage: str, task: Task, calculator: Calculator, items: Sequence[Any]) -> list[Any]:
        identity = [task.__module__, task.__qualname__, identity_of(calculator)]
        files = [folder / f"{digest([*identity, item])}.json" for item in items]
        kept = {file: _read(file) for file in files}
        missing = {file: item for file, item in zip(files, items, strict=True) if kept[file] is _NOTHING}
        n_done = len(items) - len(missing)
        self.report(stage, n_done, len(items))
        if min(self.n_ranks, len(missing)) > 1:
            for _ in self._run_on_ranks(folder, task, calculator, missing):
                n_done += 1
                self.report(stage, n_done, len(items))
        else:
            for file, item in missing.items():
                write_result(file, task(calculator, item))
                n_done += 1
                self.report(stage, n_done, len(items))
        kept |= {file: _read(file) for file in missing}
        if any(result is _NOTHING for result in kept.values()):
            raise MlipError("the ranks ended before the last task; run the command again to continue")
        return [kept[file] for file in files]

    def _run_on_ranks(self, folder: Path, task: Task, calculator: Calculator, missing: dict[Path, Any]):
        """Run the tasks in other processes; yield once for each that has finished."""
        job = pickle.dumps((task, portable(calculator), list(missing.items())))
        with TemporaryDirectory(prefix="ranks-", dir=folder) as scratch:
            Path(scratch, JOB_FILE).write_bytes(job)
            program = [*python_module(_WORKER), Path(scratch).resolve()]
            n_ranks = min(self.n_ranks, len(missing))
            with MpiProcess(program, n_ranks, name="a rank", environment=rank_environment()) as process:
                for line in process.lines():
                    yield from range(line.count(DONE))  # mpiexec may join lines of two ranks
            errors = sorted(Path(scratch).glob("*.error"))
            if errors:
                raise pickle.loads(errors[0].read_bytes())


def identity_of(calculator: Calculator) -> object:
    """Return what a result depends on besides its item: the model file, or class and parameters of a calculator."""
    model = getattr(calculator, "model", None)
    metadata = getattr(model, "metadata", None)
    if metadata is not None:
        return {key: metadata.get(key) for key in ("source", "dtype", "device", "head", "elements", "radial")}
    return [type(calculator).__module__, type(calculator).__qualname__, repr(getattr(calculator, "parameters", None))]


def portable(calculator: Calculator) -> Calculator:
    """Return a calculator that can be pickled: itself, or a new one of a class of ASE with the same parameters.

    Raises
    ------
    UserInputError
        If a calculator of another package cannot be pickled.
    """
    try:
        pickle.dumps(calculator)
    except Exception as error:  # each library raises its own
        if type(calculator).__module__.startswith("ase."):  # EMT cannot be pickled once it has been used
            return type(calculator)(**calculator.parameters)
        raise UserInputError(
            f"{type(calculator).__name__} cannot be copied to other processes: {error}; use one rank"
        ) from error
    return calculator


def write_result(file: Path, result: Any) -> None:
    """Write a result, see `write_text`."""
    write_text(file, encode(result))


def write_text(file: Path, text: str) -> None:
    """Write a file in one step, so that it is complete if it exists."""
    unfinished = file.with_suffix(f".{os.getpid()}.unfinished")
    unfinished.write_text(text)
    unfinished.rename(file)


def write_csv(file: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows, the first of them with the names of the columns, in one step."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(file, text.getvalue())


def digest(value: Any) -> str:
    """Return a checksum of anything that ASE writes as JSON."""
    return hashlib.sha256(encode(value).encode()).hexdigest()[:24]


def _read(file: Path) -> Any:
    """Return a result, or `_NOTHING` if it is missing or damaged."""
    try:
        return decode(file.read_text())
    except (OSError, ValueError, LookupError, TypeError):
        return _NOTHING
