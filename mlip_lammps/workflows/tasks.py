"""Independent tasks with one calculator: here one after another, or side by side with MPI ranks.

This process works as one of the ranks, so that nothing waits for the start of the others. The others wait for the next
tasks afterwards, with the model open. A task is a function of a calculator and an item. Results of finished tasks are
files in a folder: an interrupted run continues after them.
"""

import csv
import hashlib
import io
import os
import pickle
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ase.calculators.calculator import Calculator
from ase.io.jsonio import decode, encode
from threadpoolctl import ThreadpoolController

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.batches import has_batches, run_in_threads
from mlip_lammps.workflows.ranks import Ranks, start_in
from mlip_lammps.workflows.settings import require_settings

DONE = "@done"
"""Announces a finished task in the output of a rank."""

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
        Number of processes, this one included.
    report
        See `Report`.
    ranks
        Ranks that have been started already.

    Raises
    ------
    UserInputError
        If ``n_ranks`` is below 1.

    Notes
    -----
    The other processes start at the beginning of a ``with`` block, otherwise with the first tasks that need them. They
    wait for further tasks until the block ends, ``close`` is called, this object is no longer used, or this process
    ends.
    """

    def __init__(
        self,
        folder: Path | None = None,
        n_ranks: int = 1,
        report: Report = lambda stage, n_done, n_tasks: None,
        ranks: Ranks | None = None,
    ) -> None:
        require_settings(n_ranks=n_ranks)
        self.folder = folder
        self.n_ranks = n_ranks
        self.report = report
        self._ranks = ranks

    def __enter__(self) -> "Tasks":
        if self.n_ranks > 1:
            self._started(self.n_ranks - 1)
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the other processes; those of further tasks are started again."""
        if self._ranks is not None:
            self._ranks.close()
        self._ranks = None

    def prepare(self, calculator: Calculator) -> None:
        """Let the other processes, if they have been started, open the calculator while this one goes on."""
        n_others = self.n_ranks - _works_here(calculator)
        if self._ranks is not None and self._ranks.are_usable and self._ranks.n_ranks == n_others:
            self._ranks.give(_job(None, calculator, []))

    def _started(self, n_others: int) -> Ranks:
        """Return ranks that wait for a job."""
        if self._ranks is None or not self._ranks.are_usable or self._ranks.n_ranks != n_others:
            self.close()
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
            self._ranks = start_in(self.folder, n_others)
        return self._ranks

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
            for _ in self._run_on_ranks(task, calculator, missing):
                n_done += 1
                self.report(stage, n_done, len(items))
        else:
            for _ in _run_here(task, calculator, missing):
                n_done += 1
                self.report(stage, n_done, len(items))
        kept |= {file: _read(file) for file in missing}
        if any(result is _NOTHING for result in kept.values()):
            raise MlipError("the ranks ended before the last task; run the command again to continue")
        return [kept[file] for file in files]

    def _run_on_ranks(self, task: Task, calculator: Calculator, missing: dict[Path, Any]) -> Iterator[None]:
        """Run the tasks here and in other processes; yield once for each that has finished."""
        items = [(file.absolute(), item) for file, item in missing.items()]
        job = _job(task, calculator, items)
        works_here = _works_here(calculator)
        ranks = self._started(self.n_ranks - works_here)
        try:
            place = ranks.give(job)
            n_done = 0
            if works_here:
                with _one_thread(calculator):
                    for _ in claimed_tasks(place, task, calculator, items):
                        n_new = 1 + _count_done(ranks.lines(waits=False))
                        n_done += n_new
                        yield from repeat(None, n_new)
            lines = ranks.lines()
            while n_done < len(missing) and (line := next(lines, None)) is not None:
                n_new = _count_done([line])
                n_done += n_new
                yield from repeat(None, n_new)
        except BaseException:  # the ranks may be in the middle of a task
            self.close()
            raise
        errors = sorted(place.glob("*.error"))
        if errors:
            raise pickle.loads(errors[0].read_bytes())


def _run_here(task: Task, calculator: Calculator, missing: dict[Path, Any]) -> Iterator[None]:
    """Run the tasks in this process; yield once for each that has finished."""

    def run(one: Calculator, file_and_item: tuple[Path, Any]) -> None:
        file, item = file_and_item
        write_result(file, task(one, item))

    if len(missing) > 1 and has_batches(calculator):
        yield from run_in_threads(run, calculator, list(missing.items()))
        return
    for file_and_item in missing.items():
        run(calculator, file_and_item)
        yield


def _job(task: Task | None, calculator: Calculator, items: Sequence[tuple[Path, Any]]) -> bytes:
    return pickle.dumps((Path.cwd(), task, portable(calculator), items))


def claimed_tasks(folder: Path, task: Task, calculator: Calculator, items: Sequence[tuple[Path, Any]]) -> Iterator[int]:
    """Run the tasks that no other process of the folder has claimed; yield the number of each when it has finished."""
    for number, (file, item) in enumerate(items):
        try:
            (folder / f"{number}.claim").touch(exist_ok=False)
        except FileExistsError:
            continue
        try:
            write_result(file, task(calculator, item))
        except Exception as error:
            (folder / f"{number:06d}.error").write_bytes(_pickled(error))
        yield number


def _pickled(error: Exception) -> bytes:
    """Return the error without its traceback, or its text if it cannot be pickled."""
    try:
        text = pickle.dumps(error.with_traceback(None))
        pickle.loads(text)
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
    return text


def _count_done(lines: Iterable[str]) -> int:
    return sum(line.count(DONE) for line in lines)  # mpiexec may join lines of two ranks


def _works_here(calculator: Calculator) -> bool:
    """Return whether this process takes part: on a GPU it does not, as ranks are numbered from the first GPU."""
    return getattr(getattr(calculator, "model", None), "gpu", None) is None


@contextmanager
def _one_thread(calculator: Calculator) -> Iterator[None]:
    """Limit numpy and this package's calculator to one thread, as on the other ranks.

    More threads wait actively for each other on the cores of the ranks: relaxations took twice as long.
    """
    limit = getattr(getattr(calculator, "model", None), "one_thread", nullcontext)
    with _libraries().limit(limits=1, user_api="blas"), limit():
        yield


_libraries = cache(ThreadpoolController)  # the search for the libraries of a process takes a tenth of a second


def identity_of(calculator: Calculator) -> object:
    """Return what a result depends on besides its item: the model file, or class and parameters of a calculator.

    Files count by their content: those that parameters name, and that of the class.
    """
    model = getattr(calculator, "model", None)
    metadata = getattr(model, "metadata", None)
    if metadata is not None:
        return {key: metadata.get(key) for key in ("source", "dtype", "device", "head", "elements", "radial")}
    kind, parameters = type(calculator), getattr(calculator, "parameters", None)
    source = getattr(sys.modules.get(kind.__module__), "__file__", None)
    words = [word for text in _texts(parameters) for word in (text, *re.findall(r"""[^\s"']+|"[^"]*"|'[^']*'""", text))]
    names = {word.strip("\"'") for word in (source, *words) if word}
    files = sorted(filter(os.path.isfile, names))  # any text may be asked
    found = [kind.__module__, kind.__qualname__, repr(parameters)]
    found += [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]
    if (mixer := getattr(calculator, "mixer", None)) is not None:  # sums and means of calculators
        found += [repr(getattr(mixer, "weights", None)), *map(identity_of, mixer.calcs)]
    return found


def _texts(value: Any) -> Iterator[str]:
    """Yield the strings in parameters."""
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, Mapping):
        yield from (text for one in value.values() for text in _texts(one))
    elif isinstance(value, list | tuple):
        yield from (text for one in value for text in _texts(one))


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
            with suppress(TypeError):  # sums of calculators take others
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
