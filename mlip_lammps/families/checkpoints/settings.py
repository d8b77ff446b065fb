"""Numbers among the settings of a file, checked."""

from collections.abc import Mapping
from typing import Any

from mlip_lammps.core.errors import ModelFileError


def distance_of(settings: Mapping[str, Any], name: str, source: str) -> float:
    """Return a setting in angstrom.

    Raises
    ------
    ModelFileError
        If it is not a number from 0.1 to 100.
    """
    value = settings[name]
    if type(value) not in (int, float) or not 0.1 <= value <= 100.0:
        raise ModelFileError(f"the setting {name} of {source} is {value}, expected a distance; copy the model again")
    return float(value)


def whole_of(settings: Mapping[str, Any], name: str, source: str, largest: int, smallest: int = 1) -> int:
    """Return a whole number from ``smallest`` to ``largest``.

    Raises
    ------
    ModelFileError
        If it is not such a number.
    """
    value = settings[name]
    if type(value) is not int or not smallest <= value <= largest:
        raise ModelFileError(
            f"the setting {name} of {source} is {str(value)[:40]}, expected {smallest} to {largest}; copy the model "
            "again"
        )
    return value
