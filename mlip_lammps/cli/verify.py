"""``mlip-lammps verify``: compare a model with its reference in every engine on this machine."""

import argparse
from pathlib import Path

from mlip_lammps.cli import options

NAME = "verify"
HELP = "check that the reference, ASE and LAMMPS agree on a model, and that its forces are derivatives of its energy"
EPILOG = "Exit code 0: all checks passed; 1: a check failed; 2: wrong input, or no reference to compare with."


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    options.add_model(parser)
    options.add_structure(parser, "a structure of your own, checked beside the built-in ones; its first frame is used")
    options.add_rank_list(parser, "1,2,4")
    parser.add_argument(
        "--source", type=Path, metavar="FILE", help="file that a compiled MODEL was made from, if it is not found"
    )
    parser.add_argument(
        "--no-reference", action="store_true", help="accept that a compiled MODEL is not compared with its source"
    )
    options.add_dtype(parser, "float64", is_for_any_model=True)
    options.add_device(parser, is_for_any_model=True)
    options.add_json_file(parser)
    parser.add_argument(
        "--time-limit",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="time limit of one evaluation in LAMMPS; a longer one counts as a hang (default: 120)",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._verify import run_verify

    return run_verify(arguments)
