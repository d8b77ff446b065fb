"""``mlip-lammps compare``: models and classical potentials side by side."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.cli import options
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.comparisons import MOST_ATOMS, QUANTITIES

if TYPE_CHECKING:
    from ase import Atoms
    from ase.calculators.calculator import Calculator

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


class _KnowsNoStructureError(UserInputError):
    """A model knows the elements of none of the structures."""


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._compared import show
    from mlip_lammps.cli._run import end_as_interrupted, facts_of, open_folder
    from mlip_lammps.engines.ase.calculator import MlipCalculator
    from mlip_lammps.structure.files import read_structures
    from mlip_lammps.workflows.checks import require_apart
    from mlip_lammps.workflows.comparisons.models import ModelResults, compare, default_quantities

    end_as_interrupted()
    if not arguments.models:
        raise UserInputError("no MODEL is given; give one or more")
    if len(set(arguments.models)) < len(arguments.models):
        raise UserInputError("a MODEL is given twice; give different ones")
    structures = read_structures(arguments.structure)
    for name, atoms in structures.items():
        require_apart(atoms, name)
    files = {f"structure {k}": Path(file) for k, file in enumerate(arguments.structure, start=1)}
    calculators, refused = _open_all(arguments, structures, files)
    facts = {name: facts_of(one) for name, one in calculators.items() if isinstance(one, MlipCalculator)}
    with open_folder(arguments, NAME, files, facts) as (folder, tasks, console):
        found = {}
        for name, atoms in structures.items():
            results = compare(atoms, calculators, arguments.quantities, tasks=tasks)
            for word, reason in refused.items():
                wanted = arguments.quantities or default_quantities(atoms)
                results[word] = ModelResults(missing=dict.fromkeys(wanted, reason))
            found[name] = {word: results[word] for word in arguments.models}
        folder.write_results(found)
        show(structures, found, folder, console)
    return 1 if any(one.missing for results in found.values() for one in results.values()) else 0


def _open_all(
    arguments: argparse.Namespace, structures: "Mapping[str, Atoms]", files: dict[str, Path]
) -> "tuple[dict[str, Calculator], dict[str, str]]":
    """Return the calculators of all words of the command line, and why models know none of the structures.

    Wrong words are refused before the first model is compiled. Files of models are added to ``files``.
    """
    from functools import partial

    from mlip_lammps.cli._run import open_model
    from mlip_lammps.engines.ase.other_calculators import other_calculator
    from mlip_lammps.models import resolve_model

    elements = sorted({symbol for atoms in structures.values() for symbol in atoms.get_chemical_symbols()})
    found = {word: other_calculator(word, elements) for word in arguments.models}
    models = [word for word, calculator in found.items() if calculator is None]
    files |= {f"model {word}": resolve_model(word) for word in models}
    refused: dict[str, str] = {}
    for word in models:
        try:
            # one thread as LAMMPS styles have, for times that can be compared
            found[word] = open_model(arguments, word, n_threads=1, check=partial(_require_one_known, structures))
        except _KnowsNoStructureError as error:
            refused[word] = str(error)
    calculators = {word: calculator for word, calculator in found.items() if calculator is not None}
    if not calculators:
        raise UserInputError("no model knows a structure; " + "; ".join(f"{k}: {v}" for k, v in refused.items()))
    return calculators, refused


def _require_one_known(structures: "Mapping[str, Atoms]", elements: Sequence[str]) -> None:
    """Raise unless all elements of one or more structures are among ``elements``."""
    from mlip_lammps.workflows.checks import require_elements

    reasons = []
    for atoms in structures.values():
        try:
            require_elements(atoms, elements)
        except UserInputError as error:
            reasons.append(str(error))
    if len(reasons) == len(structures):
        raise _KnowsNoStructureError(reasons[0])
