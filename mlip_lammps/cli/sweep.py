"""``mlip-lammps sweep``: one command with many combinations of options."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.cli import options
from mlip_lammps.core.arguments import COUNT, Number

if TYPE_CHECKING:
    from mlip_lammps.workflows.sweep import Campaign, RunOutcome

NAME = "sweep"
HELP = "run a command with all combinations of options in a TOML file; table and picture at the end"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="TOML file with command, options and [vary]")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder for the runs (default: out/ and FILE)")
    parser.add_argument(
        "--jobs", type=options.number(COUNT), default=1, metavar="N", help="runs at the same time (default: 1)"
    )
    parser.add_argument(
        "--only", type=options.number(Number(0, is_whole=True)), metavar="K", help="only run K, counted from 0"
    )
    parser.add_argument("--slurm", type=Path, metavar="SCRIPT", help="write a Slurm job array instead of running")


def run(arguments: argparse.Namespace) -> int:
    import dataclasses

    from mlip_lammps.cli._console import open_console
    from mlip_lammps.cli._run import ProgressDisplay
    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.workflows.sweep import read_campaign, run_campaign, slurm_script, write_options

    campaign = read_campaign(arguments.file)
    folder = arguments.out or Path("out") / arguments.file.stem
    if arguments.only is not None:
        if arguments.only >= len(campaign.runs):
            raise UserInputError(f"--only is {arguments.only}, but the campaign has {len(campaign.runs)} runs, from 0")
        campaign = dataclasses.replace(campaign, runs=(campaign.runs[arguments.only],))
    ranks = _check(campaign, arguments.file)
    write_options(campaign, folder)
    console = open_console()
    if arguments.slurm is not None:
        arguments.slurm.write_text(slurm_script(campaign, arguments.file, folder, ranks))
        console.print(f"wrote {arguments.slurm} with {len(campaign.runs)} tasks; sbatch {arguments.slurm}")
        return 0
    with ProgressDisplay(console) as display:
        outcomes = run_campaign(campaign, folder, n_jobs=arguments.jobs, report=display.show)
    return _finish(campaign, outcomes, folder)


def _check(campaign: "Campaign", file: Path) -> int:
    """Check the options of all runs before any is started, and return the largest number of ranks."""
    from mlip_lammps.cli.main import find_subcommands
    from mlip_lammps.core.errors import UserInputError

    modules = {module.NAME: module for module in find_subcommands() if module.NAME != NAME}
    parsers = {name: argparse.ArgumentParser(prog=name) for name in modules}
    for name, module in modules.items():
        module.configure(parsers[name])
    names = [name for name, parser in parsers.items() if any(one.dest == "config" for one in parser._actions)]
    if campaign.command not in names:
        raise UserInputError(f"command is {campaign.command!r}; give one of {', '.join(sorted(names))}")
    checked = [options.check_settings(run.options, str(file), parsers[campaign.command]) for run in campaign.runs]
    return max(one.get("ranks", 1) for one in checked)


def _finish(campaign: "Campaign", outcomes: "list[RunOutcome]", folder: Path) -> int:
    from mlip_lammps.analysis.sweep_plot import plot_sweep
    from mlip_lammps.cli._console import open_console
    from mlip_lammps.cli._run import table_of
    from mlip_lammps.workflows.sweep import missing_results, write_table

    console = open_console()
    varied, headings = list(campaign.runs[0].varied), list(dict.fromkeys(h for one in outcomes for h in one.results))
    rows = [[*one.run.varied.values(), *(one.results.get(h) for h in headings)] for one in outcomes]
    shown = [[_text(cell) for cell in row] for row in rows]
    console.print(table_of([*varied, *headings], shown))
    write_table(folder / "sweep.csv", campaign, outcomes)
    if plot_sweep(folder / "sweep.png", varied, headings, rows):
        console.print(f"picture: {folder / 'sweep.png'}")
    if missing := missing_results(campaign, outcomes, folder):
        console.print(f"warning: {missing}", markup=False)
    failed = [one for one in outcomes if one.error is not None]
    for one in failed:
        console.print(f"{one.run.name} failed: {one.error}", markup=False)
    if failed:
        console.print(f"{len(failed)} of {len(outcomes)} runs failed; the same command repeats only these")
    console.print(f"results: {folder}")
    return 1 if failed else 0


def _text(cell: object) -> str:
    if isinstance(cell, tuple):
        value, error = cell
        return f"{value:.6g}" if error is None else f"{value:.6g} ± {error:.2g}"
    return "" if cell is None else str(cell)
