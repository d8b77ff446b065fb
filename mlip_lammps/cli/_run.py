"""What the commands with a run folder share: model, structures, record, progress and tables."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import chemical_symbols
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from mlip_lammps.cli._console import open_console
from mlip_lammps.compilation import compiled_model, runnable_model
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import TrainedModel
from mlip_lammps.model_file.archive import is_archive
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.models import resolve_model
from mlip_lammps.structure.files import read_structures
from mlip_lammps.structure.graph import build_graph, import_vesin_without_torch
from mlip_lammps.workflows.checks import (
    require_apart,
    require_elements,
    require_known_elements,
    require_unconstrained,
)
from mlip_lammps.workflows.relaxation import relax_each
from mlip_lammps.workflows.run_folder import RunFolder
from mlip_lammps.workflows.tasks import Tasks

_NOT_SETTINGS = ("run", "parser", "config", "has_tasks", "early_ranks")
_FILES = ("model", "models", "structures", "structure", "committee", "adsorbate", "gas", "born")
"""Options whose values may be files; the record has their absolute paths, so that it repeats a run in any folder."""


@dataclass(frozen=True)
class Run:
    """An open run of a command.

    Attributes
    ----------
    calculator
        Calculator of the model.
    structures
        Structures by name.
    tasks
        Where independent tasks run.
    folder
        The run folder.
    console
        Where results are printed.
    """

    calculator: Calculator
    structures: dict[str, Atoms]
    tasks: Tasks
    folder: RunFolder
    console: Console

    def single(self) -> Atoms:
        """Return the only structure.

        Raises
        ------
        UserInputError
            If there are several.
        """
        if len(self.structures) != 1:
            raise UserInputError(
                f"the files contain {len(self.structures)} structures, expected one; give a file with one structure"
            )
        return next(iter(self.structures.values()))

    def relaxed_crystal(self, **options: Any) -> Atoms:
        """Return the only structure with relaxed atoms and cell, also written to ``relaxed.extxyz``.

        Raises
        ------
        UserInputError
            If it has a constraint.
        MlipError
            If it does not relax.
        """
        require_unconstrained(self.single(), "properties of a crystal need")
        crystal = {"crystal": self.single()}
        found = relax_each(crystal, self.calculator, tasks=self.tasks, cell="free", **options)["crystal"]
        self.folder.write_structures("relaxed", found.atoms)
        return found.atoms

    def show_table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> None:
        """Print a table; the first column is aligned to the left."""
        self.console.print(table_of(columns, rows, title))

    def show_facts(self, facts: Mapping[str, str]) -> None:
        """Print names and values in two columns."""
        table = Table(show_header=False, box=None, pad_edge=False)
        for name, value in facts.items():
            table.add_row(name, value)
        self.console.print(table)

    def warn(self, warnings: Iterable[str]) -> None:
        """Print warnings."""
        for warning in warnings:
            self.console.print(f"warning: {warning}", style="bold yellow", markup=False, highlight=False)


def table_of(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str | None = None) -> Table:
    """Return a table to print; the first column is aligned to the left."""
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="bold")
    for k, column in enumerate(columns):
        table.add_column(column, justify="left" if k == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:.6g}" if isinstance(cell, float) else str(cell) for cell in row))
    return table


@contextmanager
def open_run(arguments: argparse.Namespace, command: str, extra_files: Sequence[Path | str] = ()) -> Iterator[Run]:
    """Open model, structures and run folder of a command; the record is complete at the end of the ``with`` block.

    Parameters
    ----------
    extra_files
        More input files whose checksums the record shall contain.

    Raises
    ------
    UserInputError
        If the model or a structure is missing or cannot be read, atoms overlap, or the model does not know an element.
    """
    end_as_interrupted()
    if arguments.model is None:
        raise UserInputError("no MODEL is given; give a file, the name of a shipped model, or --config FILE")
    given = list(getattr(arguments, "structures", []))
    structures = read_structures(given) if hasattr(arguments, "structures") else {}
    files = {"model": resolve_model(arguments.model)}
    files |= {f"structure {k}": Path(file) for k, file in enumerate([*given, *extra_files], start=1)}
    for name, atoms in structures.items():
        require_apart(atoms, name)
    calculator = open_model(arguments, check=partial(_require_elements_of, structures))
    for name, atoms in structures.items():
        require_known_elements(atoms, calculator, name)
    with open_folder(arguments, command, files, facts_of(calculator)) as (folder, tasks, console):
        run = Run(calculator, structures, tasks, folder, console)
        tasks.prepare(calculator)
        run.warn(_missing_inputs(calculator.model, structures))
        run.warn(_free_atoms(calculator.model, structures))
        yield run


def _missing_inputs(model: CompiledModel, structures: Mapping[str, Atoms]) -> Iterator[str]:
    """Yield a warning for each structure whose file does not state the charge or spin that the model takes."""
    for name, atoms in structures.items():
        missing = [one for one in model.global_inputs if one.name not in atoms.info]
        if missing:
            values = " and ".join(f"{one.name} {one.default:g}" for one in missing)
            words = " ".join(f"{one.name}={one.default:g}" for one in missing)
            yield (
                f"the file of {name} does not state the {' and '.join(one.name for one in missing)}, so {values} "
                f"{'is' if len(missing) == 1 else 'are'} used; to set them, write {words} with your values into the "
                "second line of an extended XYZ file"
            )


def _free_atoms(model: CompiledModel, structures: Mapping[str, Atoms]) -> Iterator[str]:
    """Yield a warning for each structure of several atoms that have no neighbours."""
    densest = np.sqrt(2.0) / model.cutoff**3  # of atoms that are all further apart than the cutoff: fcc
    for name, atoms in structures.items():
        if len(atoms) == 1 or len(atoms) > densest * atoms.cell.volume > 0.0:
            continue
        if build_graph(atoms, model.cutoff).n_edges == 0:
            yield (
                f"no two atoms of {name} are closer than the cutoff of the model, {model.cutoff:g} angstrom, so all of "
                "them are free atoms; check the units of the file"
            )


@contextmanager
def open_folder(
    arguments: argparse.Namespace, command: str, files: Mapping[str, Path], facts: Mapping[str, Any]
) -> Iterator[tuple[RunFolder, Tasks, Console]]:
    """Open the run folder of a command; the record is complete at the end of the ``with`` block.

    Parameters
    ----------
    files
        Input files by name, whose checksums the record shall contain.
    facts
        Facts of the model for the record.
    """
    console = open_console()
    settings = {name: value for name, value in vars(arguments).items() if name not in _NOT_SETTINGS}
    settings |= {name: _absolute(settings[name]) for name in _FILES if name in settings}
    folder = RunFolder(arguments.out, command, settings, files, facts)
    early_ranks = getattr(arguments, "early_ranks", None)
    with folder, ProgressDisplay(console) as display:
        with closing(Tasks(folder.tasks, arguments.ranks, display.show, early_ranks)) as tasks:
            yield folder, tasks, console
        display.stop()
        if folder.earlier is not None:
            console.print(f"{folder.path} contained another run; its results are now in {folder.earlier}")
        console.print(f"results: {folder.path}")


def _absolute(value: Any) -> Any:
    """Return the absolute path of a file, or of each in a list; anything else is returned unchanged."""
    if isinstance(value, list):
        return [_absolute(one) for one in value]
    is_file = isinstance(value, str | Path) and Path(value).exists()
    return os.path.abspath(value) if is_file else value


def end_as_interrupted() -> None:
    """Let SIGTERM also end compilations and MPI ranks, as an interrupt does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def facts_of(calculator: MlipCalculator) -> dict[str, Any]:
    """Return the facts of a model for the record of a run; ``source`` has the checksum of all its trained files."""
    keys = ("family", "dtype", "device", "head", "cutoff", "source")
    return {key: calculator.model.metadata.get(key) for key in keys}


def open_model(
    arguments: argparse.Namespace,
    model: str | None = None,
    n_threads: int = 0,
    check: Callable[[Sequence[str]], None] = lambda elements: None,
) -> MlipCalculator:
    """Return the calculator of MODEL, compiled in ``--dtype`` for ``--device`` unless it is compiled already.

    Parameters
    ----------
    model
        Instead of MODEL.
    n_threads
        See ``MlipCalculator``.
    check
        May refuse the elements of a trained model before it is compiled.
    """
    import_vesin_without_torch()
    path = resolve_model(model or arguments.model)
    if path.suffix == ".pt2" or is_archive(path):
        path = runnable_model(path, arguments.device, arguments.head)
    else:
        options = {"dtype": arguments.dtype, "device": arguments.device or "cpu", "head": arguments.head}
        lines: list[str] = []

        def tell(line: str) -> None:
            if not lines:
                print(f"mlip-lammps: compiling {model or arguments.model} in {arguments.dtype}, once", file=sys.stderr)
            lines.append(line)

        def check_trained(trained: TrainedModel) -> None:
            check([chemical_symbols[number] for number in trained.atomic_numbers])

        path = compiled_model(path, **options, progress=tell, check=check_trained)
    return MlipCalculator(path, n_threads)


def _require_elements_of(structures: Mapping[str, Atoms], elements: Sequence[str]) -> None:
    for name, atoms in structures.items():
        require_elements(atoms, elements, name)


class ProgressDisplay:
    """A bar with the time left for each stage on a terminal, otherwise one line for each stage."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._console = console
        self._task: TaskID | None = None
        self._stage = ""

    def __enter__(self) -> "ProgressDisplay":
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def show(self, stage: str, n_done: int, n_tasks: int) -> None:
        """Show the progress of the current stage."""
        if n_done == 0 or stage != self._stage:
            if not self._console.is_terminal and n_tasks > 1:
                kept = f", {n_done} of them finished before" if n_done else ""
                self._console.print(f"{stage}: {n_tasks}{kept}")
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(stage, total=n_tasks)
            self._stage = stage
        self._progress.update(self._task, completed=n_done)

    def stop(self) -> None:
        """End the display, so that tables can be printed."""
        self._progress.stop()
