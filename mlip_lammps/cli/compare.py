"""``mlip-lammps compare``: models and classical potentials side by side."""

import argparse
from typing import TYPE_CHECKING, Any

from mlip_lammps.cli import options
from mlip_lammps.workflows.comparisons import MOST_ATOMS, QUANTITIES

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator
    from rich.console import Console

    from mlip_lammps.workflows.comparisons.models import ModelResults
    from mlip_lammps.workflows.run_folder import RunFolder

_DRAWN = ("a,", "b,", "c,", "bulk", "C", "phonon")
NAME = "compare"
HELP = "compare models, stock pair styles and ASE calculators: forces, lattice, elastic constants, phonons and speed"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        metavar="MODEL",
        nargs="*",
        default=[],
        help=f"{options.ANY_MODEL}; lammps:STYLE:FILE for a pair style of the installed LAMMPS, lammps:FILE for a file "
        "of LAMMPS commands; MODULE:NAME or FILE.py:NAME for an ASE calculator",
    )
    parser.add_argument(
        "--structure", nargs="+", default=[], metavar="FILE", help="structure files, any format that ASE reads"
    )
    parser.add_argument(
        "--quantities",
        nargs="+",
        choices=QUANTITIES,
        metavar="NAME",
        help=f"some of {', '.join(QUANTITIES)} (default: all for a crystal of at most {MOST_ATOMS} atoms, otherwise "
        "forces and speed)",
    )
    options.add_run_options(parser, NAME)


def run(arguments: argparse.Namespace) -> int:
    from pathlib import Path

    from mlip_lammps.cli._run import end_as_interrupted, facts_of, open_folder
    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.engines.ase.calculator import MlipCalculator
    from mlip_lammps.structure.files import read_structures
    from mlip_lammps.workflows.checks import require_apart
    from mlip_lammps.workflows.comparisons.models import compare

    end_as_interrupted()
    if not arguments.models:
        raise UserInputError("no MODEL is given; give one or more")
    if len(set(arguments.models)) < len(arguments.models):
        raise UserInputError("a MODEL is given twice; give different ones")
    structures = read_structures(arguments.structure)
    for name, atoms in structures.items():
        require_apart(atoms, name)
    elements = sorted({symbol for atoms in structures.values() for symbol in atoms.get_chemical_symbols()})
    files = {f"structure {k}": Path(file) for k, file in enumerate(arguments.structure, start=1)}
    calculators = {}
    for word in arguments.models:
        calculators[word] = _open(arguments, word, elements, files)
    facts = {name: facts_of(one) for name, one in calculators.items() if isinstance(one, MlipCalculator)}
    with open_folder(arguments, NAME, files, facts) as (folder, tasks, console):
        found = {name: compare(atoms, calculators, arguments.quantities, tasks=tasks)
                 for name, atoms in structures.items()}  # fmt: skip
        folder.write_results(found)
        for name, results in found.items():
            _show(name, structures[name], results, folder, console)
    return 1 if any(one.missing for results in found.values() for one in results.values()) else 0


def _open(arguments: argparse.Namespace, word: str, elements: list[str], files: dict[str, Any]) -> "Calculator":
    """Return the calculator of a word of the command line; add its file to ``files``."""
    from mlip_lammps.cli._run import open_model
    from mlip_lammps.engines.ase.other_calculators import other_calculator
    from mlip_lammps.models import resolve_model

    other = other_calculator(word, elements)
    if other is not None:
        return other
    files[f"model {word}"] = resolve_model(word)
    return open_model(arguments, word, n_threads=1)  # as LAMMPS styles, for times that can be compared


def _show(
    structure: str, atoms: "Atoms", results: "dict[str, ModelResults]", folder: "RunFolder", console: "Console"
) -> None:
    """Print the table of a structure, write its relaxed crystals and its picture."""
    from mlip_lammps.analysis.comparison_plot import plot_comparison
    from mlip_lammps.cli._run import table_of
    from mlip_lammps.workflows.comparisons.table import numbers_of

    models = list(results)
    columns = {name: numbers_of(one, results[models[0]], len(atoms)) for name, one in results.items()}
    quantities = list(dict.fromkeys(quantity for column in columns.values() for quantity in column))
    rows = [(quantity, *(_text(columns[name].get(quantity)) for name in models)) for quantity in quantities]
    console.print(table_of(("", *models), rows, title=f"{structure} ({atoms.get_chemical_formula()})"))
    for name, one in results.items():
        for quantity, reason in one.missing.items():
            console.print(f"{name}, {quantity}: {reason}", style="bold red", markup=False)
        if one.crystal is not None:
            folder.write_structures(f"{structure}-{models.index(name) + 1}-relaxed", one.crystal.atoms)
    drawn = [quantity for quantity in quantities if quantity.startswith(_DRAWN)]
    plot_comparison(
        folder.path / f"{structure}.png",
        {name: None if one.forces is None else one.forces.ravel() for name, one in results.items()},
        {quantity: [columns[name].get(quantity) for name in models] for quantity in drawn},
        {name: one.microseconds_per_atom for name, one in results.items()},
    )


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
