"""A rank of ``Tasks``: ``mpiexec -n N python -m mlip_lammps.workflows.worker FOLDER``.

It works on one job of the folder after another until it is ended. Ranks claim tasks one by one, so that none waits
while others have work. They do not communicate, and need no MPI call.
"""

import os
import pickle
import sys
from pathlib import Path

from mlip_lammps.core.processes import end_with_parent
from mlip_lammps.engines.ase.calculator import MlipCalculator  # noqa: F401 - before the first job
from mlip_lammps.structure.graph import import_vesin_without_torch
from mlip_lammps.workflows import relaxation  # noqa: F401 - before the first job
from mlip_lammps.workflows.ranks import wait_for_jobs
from mlip_lammps.workflows.tasks import DONE, claimed_tasks


def _main(folder: Path) -> None:
    end_with_parent()  # mpiexec ends with the process that gives jobs, and its helper program with it
    import_vesin_without_torch()
    calculator = None
    for job, place in wait_for_jobs(folder):
        # the calculator of the job before keeps its model open, which unpickling finds
        try:
            working_folder, task, calculator, items = pickle.loads(job)
        except (ImportError, AttributeError) as error:
            sys.exit(
                f"a rank cannot import the calculator ({error}); move its class to an installed module or to one on "
                "PYTHONPATH, or use one rank"
            )
        os.chdir(working_folder)
        for number in claimed_tasks(place, task, calculator, items):
            print(f"{DONE} {number}", flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
