"""Weights of a state dict, checked."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.checkpoints.archive import TorchArchive


def weight_of(
    archive: TorchArchive, records: Mapping[str, Any], name: str, shape: tuple[int, ...]
) -> NDArray[np.floating]:
    """Return a weight of a state dict, float32 or float64.

    Parameters
    ----------
    records
        The state dict as the archive reads it.
    shape
        Shape that the weight must have.

    Raises
    ------
    ModelFileError
        If it is missing, has another shape or type, or has values that are not finite.
    """
    if name not in records:
        raise ModelFileError(f"{archive.name} lacks the weight {name}; copy the file again")
    found = archive.array(records[name], name)
    if found.shape != shape:
        raise ModelFileError(
            f"{name} of {archive.name} has shape {found.shape}, expected {shape}: the weights are those of "
            "another model, or damaged; copy the files of the model again"
        )
    if found.dtype not in (np.float32, np.float64):
        raise ModelFileError(f"{name} of {archive.name} is {found.dtype}, expected float32 or float64; save again")
    if not np.isfinite(found).all():
        raise ModelFileError(f"{name} of {archive.name} has values that are not finite; train again")
    return found
