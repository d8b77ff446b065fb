"""Reads a model file of any form that the package knows."""

import zipfile
from pathlib import Path

from mlip_lammps.checkpoint.mace_torch import read_mace_torch
from mlip_lammps.checkpoint.portable import read_portable
from mlip_lammps.checkpoint.spec import TrainedModel
from mlip_lammps.checkpoint.validation import check_model
from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.models import resolve_model

_WANTED = "give a .model file of mace-torch or a portable .safetensors model"


def read_model(path: str | Path) -> TrainedModel:
    """Read a trained MACE model; its form is found from its content. Nothing that the file holds is run.

    Parameters
    ----------
    path
        A file that mace-torch saved with ``torch.save(model, path)``, one of `write_portable`, or the name of a
        shipped model.

    Raises
    ------
    ModelFileError
        If there is no such file, it is no model, or it is damaged.
    UnsupportedModelError
        If the model has a feature that the package does not know; the message names it.
    """
    path = resolve_model(path)
    if path.is_dir():
        raise ModelFileError(f"{path} is a directory; {_WANTED}")
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}); {_WANTED}") from error
    if not start:
        raise ModelFileError(f"{path} is empty; copy the model again")
    # A file in torch's old form may end in a zip of its own: the first bytes decide.
    if start[:2] == b"PK":
        if not zipfile.is_zipfile(path):
            raise ModelFileError(f"{path} is a zip that was cut off; copy the model again")
        trained = read_mace_torch(path)
        check_model(trained)
        return trained
    # safetensors: eight bytes of header length, then JSON.
    if start[8:9] == b"{":
        return read_portable(path)
    if start[:1] == b"\x80":
        raise ModelFileError(
            f"{path} is a bare pickle, as torch.save wrote before version 1.6; "
            "load it with mace-torch and save it again with torch.save(model, path)"
        )
    raise ModelFileError(f"{path} is no model file; {_WANTED}")
