"""Tables, pictures and files of ``mlip-lammps compare``."""

import re
from collections.abc import Mapping, Sequence

from ase import Atoms
from rich.console import Console

from mlip_lammps.analysis.comparison_plot import plot_comparison, plot_summary
from mlip_lammps.cli._run import table_of
from mlip_lammps.engines.ase.other_calculators import STOCK
from mlip_lammps.workflows.comparisons.models import ModelResults
from mlip_lammps.workflows.comparisons.summary import summarize
from mlip_lammps.workflows.comparisons.table import first_with_results, rows_of
from mlip_lammps.workflows.run_folder import RunFolder
from mlip_lammps.workflows.tasks import write_csv

_DRAWN = ("a,", "b,", "c,", "bulk", "C", "phonon")
_ZERO = 1e-9
"""Smaller numbers are rounding errors: forces of a symmetric crystal."""
_MOST_NAMES = 3

Rows = Mapping[str, Sequence[float | None]]
"""Values of all models by quantity."""


def show(
    structures: Mapping[str, Atoms],
    found: Mapping[str, Mapping[str, ModelResults]],
    folder: RunFolder,
    console: Console,
) -> None:
    """Print tables, then what models could not compute; write the tables, relaxed crystals and pictures.

    Parameters
    ----------
    structures
        Structures by name.
    found
        Results by structure and by the words of the command line.
    """
    words = list(next(iter(found.values())))
    labels = labels_of(words)
    by_label = {name: {labels[word]: one for word, one in results.items()} for name, results in found.items()}
    tables = [
        (name, _show_structure(name, structures[name], results, folder, console)) for name, results in by_label.items()
    ]
    if len(structures) > 1:
        tables.append(("all", _show_summary(structures, by_label, folder, console)))
    lines = [(name, quantity, *values) for name, rows in tables for quantity, values in rows.items()]
    write_csv(folder.path / "compare.csv", [("structure", "quantity", *words), *lines])
    for line in missing_lines(by_label):
        console.print(line, style="bold red", markup=False, highlight=False)


def labels_of(words: Sequence[str]) -> dict[str, str]:
    """Return short names of the words of a command line, without folders and ``lammps:``, unless two are the same."""
    short = {word: re.sub(r"[^:]*/(?=[^:/])", "", word.removeprefix(STOCK)) for word in words}
    return short if len(set(short.values())) == len(short) else {word: word for word in words}


def missing_lines(found: Mapping[str, Mapping[str, ModelResults]]) -> list[str]:
    """Return one line for each reason of each model, with the quantities and structures that it concerns."""
    lines = []
    for model in next(iter(found.values())):
        reasons: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
        for structure, results in found.items():
            for quantity, reason in results[model].missing.items():
                quantities, names = reasons.setdefault(reason, ({}, {}))
                quantities[quantity] = names[structure] = None
        for reason, (quantities, names) in reasons.items():
            of = f" of {_listed(list(names))}" if len(found) > 1 else ""
            lines.append(f"{model} has no {', '.join(quantities)}{of}: {reason}")
    return lines


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:_MOST_NAMES])} and {len(names) - _MOST_NAMES} more"


def _show_structure(
    structure: str, atoms: Atoms, results: Mapping[str, ModelResults], folder: RunFolder, console: Console
) -> Rows:
    models, rows = list(results), rows_of(results, len(atoms))
    first = first_with_results(results)
    _show_rows(f"{structure} ({atoms.get_chemical_formula()})", models, rows, first, console)
    for number, one in enumerate(results.values(), start=1):
        if one.crystal is not None:
            folder.write_structures(f"{structure}-{number}-relaxed", one.crystal.atoms)
    plot_comparison(
        folder.path / f"{structure}.png",
        {name: None if one.forces is None else one.forces.ravel() for name, one in results.items()},
        {name: one.stress_gpa for name, one in results.items()},
        {quantity: values for quantity, values in rows.items() if quantity.startswith(_DRAWN)},
        {name: one.microseconds_per_atom for name, one in results.items()},
        first,
    )
    return rows


def _show_summary(
    structures: Mapping[str, Atoms],
    found: Mapping[str, Mapping[str, ModelResults]],
    folder: RunFolder,
    console: Console,
) -> Rows:
    summary = summarize(structures, found)
    models, rows = list(summary.forces), summary.rows()
    _show_rows(f"all {len(structures)} structures", models, rows, summary.reference(), console)
    name = "summary"
    while name in structures:
        name += "-of-all"
    picture = folder.path / f"{name}.png"
    plot_summary(
        picture, summary.structures, summary.relative_energies, summary.forces, summary.stresses_gpa,
        summary.reference(),
    )  # fmt: skip
    return rows


def _show_rows(title: str, models: Sequence[str], rows: Rows, first: str, console: Console) -> None:
    """Print a table of the models that have numbers; the title names the one that differences refer to."""
    if any("difference" in quantity for quantity in rows):
        title += f", differences from {first}"
    shown = [k for k, _ in enumerate(models) if any(values[k] is not None for values in rows.values())]
    if shown:
        cells = [(quantity, *(_text(values[k]) for k in shown)) for quantity, values in rows.items()]
        console.print(table_of(("", *(models[k] for k in shown)), cells, title=title))


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return "0" if abs(value) < _ZERO else f"{value:.5g}"
