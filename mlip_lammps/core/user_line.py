"""The line of the user's program that led to a warning."""

import sys
from pathlib import Path

import ase

_PACKAGES = tuple(f"{folder}/" for folder in (Path(ase.__file__).parent, Path(__file__).parents[1]))


def level_of_user() -> int:
    """Return the ``stacklevel`` with which the caller's warning names the innermost line outside ASE and this package.

    Notes
    -----
    ASE calls a calculator at various depths: from ``get_forces``, or from the steps of a dynamics. Python 3.12 has
    ``skip_file_prefixes`` for this purpose.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGES):
        level, frame = level + 1, frame.f_back
    return level
