"""``mlip-lammps verify``: hold a model to the reference in every engine of this machine."""

import argparse
from pathlib import Path

NAME = "verify"
HELP = "check that reference, ASE and LAMMPS on several ranks agree on a model, and that its forces are derivatives"
EPILOG = "Exit code 0: everything passed; 1: a check failed; 2: a mistake in the input, or nothing to compare with."


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("model", help="file of mace-torch, portable or compiled file, or name of a shipped model")
    parser.add_argument(
        "--structure", type=Path, help="a structure of yours, in any format of ase.io; its first frame is added"
    )
    parser.add_argument("--ranks", default="1,2,4", help="numbers of MPI ranks (default: 1,2,4)")
    parser.add_argument("--source", type=Path, help="what a compiled MODEL was made from, where it is not found")
    parser.add_argument(
        "--no-reference", action="store_true", help="accept that a compiled MODEL is not compared with its source"
    )
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32", "mixed"),
        default="float64",
        help="of the compilation, where MODEL is not compiled (default: float64)",
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        help="of the compilation, where MODEL is not compiled (default: cpu); a compiled MODEL must be for it",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the table as JSON")
    parser.add_argument(
        "--time-limit",
        type=float,
        default=120.0,
        metavar="SECONDS",
        help="a single evaluation in LAMMPS that takes longer counts as a hang (default: 120)",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._verify import run_verify

    return run_verify(arguments)
