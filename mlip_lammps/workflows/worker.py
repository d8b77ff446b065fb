"""A rank of ``Tasks``: ``mpiexec -n N python -m mlip_lammps.workflows.worker FOLDER``.

Ranks claim tasks one by one, so that none waits while others have work. They do not communicate, and need no MPI call.
"""

import pickle
import sys
from pathlib import Path

from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.workflows.tasks import DONE, JOB_FILE, claimed_tasks


def _main(folder: Path) -> None:
    task, calculator, items = pickle.loads((folder / JOB_FILE).read_bytes())
    if isinstance(calculator, MlipCalculator):
        _import_vesin_alone()
    for number in claimed_tasks(folder, task, calculator, items):
        print(f"{DONE} {number}", flush=True)


def _import_vesin_alone() -> None:
    """Import vesin without torch, which it imports if it can: that is half of the start of a rank, and not needed."""
    if "torch" in sys.modules:
        return
    sys.modules["torch"] = None
    try:
        import vesin  # noqa: F401
    finally:
        del sys.modules["torch"]


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
