"""A rank of ``Tasks``: ``mpiexec -n N python -m mlip_lammps.workflows.worker FOLDER``.

Ranks claim tasks one by one, so that none waits while others have work. They do not communicate, and need no MPI call.
"""

import pickle
import sys
from pathlib import Path

from mlip_lammps.workflows.tasks import DONE, JOB_FILE, claimed_tasks


def _main(folder: Path) -> None:
    for number in claimed_tasks(folder, *pickle.loads((folder / JOB_FILE).read_bytes())):
        print(f"{DONE} {number}", flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
