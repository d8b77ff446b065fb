"""``mlip-lammps screen``: relax and rank many candidates."""

import argparse

from mlip_lammps.cli import options

NAME = "screen"
HELP = "relax many candidates, remove duplicates and rank them by energy"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME, "CANDIDATE")
    parser.add_argument(
        "--committee",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="more models; the table then has the standard deviation of the relative energies of all models",
    )
    options.add_cell(parser, "free")
    parser.add_argument("--keep-symmetry", action="store_true", help="keep the space group of each candidate")
    options.add_relaxation(parser, 5e-3)


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._run import open_model, open_run
    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.models import resolve_model
    from mlip_lammps.workflows.compositions.screening import screen

    models = [resolve_model(model).resolve() for model in (arguments.model, *arguments.committee) if model is not None]
    if len(set(models)) < len(models):
        raise UserInputError("a model is given twice, and copies of a model have no spread; give different ones")
    with open_run(arguments, NAME, [resolve_model(model) for model in arguments.committee]) as run:
        found = screen(
            run.structures,
            run.calculator,
            committee=[open_model(arguments, model) for model in arguments.committee],
            tasks=run.tasks,
            cell=arguments.cell,
            keeps_symmetry=arguments.keep_symmetry,
            **options.relaxation_of(arguments),
        )
        run.folder.write_results({"candidates": found})
        unique = [one for one in found if one.atoms is not None and one.duplicate_of is None]
        for one in unique:
            run.folder.write_structures(one.name, one.atoms)
        rows = [
            (one.name, one.formula, f"{one.energy_per_atom:.6f}", f"{1e3 * one.relative_energy:.2f}",
             "" if one.spread_per_atom is None else f"{1e3 * one.spread_per_atom:.2f}", one.space_group or "",
             one.duplicate_of or "")
            for one in found if one.error is None
        ]  # fmt: skip
        columns = ("candidate", "formula", "energy, eV/atom", "above best, meV", "spread, meV", "space group",
                   "duplicate of")  # fmt: skip
        run.show_table(columns, rows)
        failed = [one for one in found if one.error is not None]
        for one in failed:
            run.console.print(f"{one.name}: {one.error}", style="bold red", markup=False)
        run.console.print(
            f"{len(found)} candidates: {len(unique)} different, {len(found) - len(unique) - len(failed)} duplicates, "
            f"{len(failed)} did not relax"
        )
    return 0
