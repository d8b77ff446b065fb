"""``mlip-lammps demo``: compile a model, run an input script on several ranks and plot the results."""

import argparse
from pathlib import Path

from mlip_lammps.cli import options

NAME = "demo"
HELP = "compile the shipped model, run liquid water on several MPI ranks and plot the results"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "settings",
        type=Path,
        nargs="?",
        help="TOML file with the settings (default: the installed demo of liquid water)",
    )
    options.add_ranks(parser, 2)
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.5,
        help="approximate duration of the run, from the speed of a short warm-up (default: 0.5)",
    )
    parser.add_argument("--steps", type=int, help="number of steps; skips the warm-up")
    options.add_out(parser, "out/demo")


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._demo import run_demo
    from mlip_lammps.cli._demo_settings import shipped_settings

    run_demo(
        settings_file=arguments.settings or shipped_settings(),
        out=arguments.out,
        n_ranks=arguments.ranks,
        n_steps=arguments.steps,
        minutes=arguments.minutes,
    )
    return 0
