"""``mlip-lammps verify``: compare a model with its reference in ASE and LAMMPS on this machine."""

import argparse
from pathlib import Path

from mlip_lammps.cli import options

NAME = "verify"
HELP = "check that the reference, ASE and LAMMPS agree on a model, and that its forces are derivatives of its energy"
EPILOG = "Exit codes: 0, all checks passed; 1, a check failed; 2, invalid input or missing reference."


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    options.add_model(parser)
    options.add_structure(parser, "additional structure to check; only the first frame is used")
    options.add_rank_list(parser, "1,2,4")
    parser.add_argument(
        "--source",
        type=Path,
        metavar="FILE",
        help="trained model that a compiled MODEL was exported from; needed only if it is not found automatically",
    )
    parser.add_argument(
        "--no-reference", action="store_true", help="pass without comparing a compiled MODEL with its trained model"
    )
    options.add_dtype(parser, "float64", is_for_any_model=True)
    options.add_device(parser, is_for_any_model=True)
    options.add_head(parser, is_for_any_model=True)
    options.add_json_file(parser)
    parser.add_argument(
        "--time-limit",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="time limit of one LAMMPS evaluation; longer evaluations count as hangs (default: 120)",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._verify import run_verify

    return run_verify(arguments)
