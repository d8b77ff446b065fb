"""``mlip-lammps demo``: compile a model, run an input on several ranks, draw what came out."""

import argparse
from pathlib import Path

from mlip_lammps.cli import options

NAME = "demo"
HELP = "compile the shipped model, run liquid water on several MPI ranks and draw the result"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "settings",
        type=Path,
        nargs="?",
        default=Path("inputs/demo.toml"),
        help="what to run (default: inputs/demo.toml)",
    )
    options.add_ranks(parser, 2)
    parser.add_argument(
        "--minutes",
        type=float,
        default=0.5,
        help="length of the run, measured in a short warm-up (default: 0.5)",
    )
    parser.add_argument("--steps", type=int, help="length of the run in steps, without a warm-up")
    options.add_out(parser, "out/demo")


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._demo import run_demo

    run_demo(
        settings_file=arguments.settings,
        out=arguments.out,
        n_ranks=arguments.ranks,
        n_steps=arguments.steps,
        minutes=arguments.minutes,
    )
    return 0
