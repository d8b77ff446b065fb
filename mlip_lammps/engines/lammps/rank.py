"""The program of an MPI rank."""

import sys
import traceback
from collections.abc import Callable
from pathlib import Path


def run_rank(program: Callable[[Path], None]) -> None:
    """Call ``program`` with the folder of the command line; an error on a single rank ends all ranks."""
    from mpi4py import MPI  # starts MPI

    try:
        program(Path(sys.argv[1]))
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        MPI.COMM_WORLD.Abort(1)
