"""Which family a file belongs to."""

import importlib
from pathlib import Path

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.family import Family, TrainedModel
from mlip_lammps.models import resolve_model

_PACKAGES = ("mlip_lammps.families.mace",)
"""Each holds a ``FAMILY``."""

_registered: dict[str, Family] = {}


def register_family(family: Family) -> None:
    """Add a family of another package, for this process and the compilations that it starts."""
    _registered[family.name] = family


def families() -> tuple[Family, ...]:
    """Return every family, those of this package last: another package may know a file better."""
    own = [importlib.import_module(package).FAMILY for package in _PACKAGES]
    return (*_registered.values(), *own)


def family_of(trained: TrainedModel) -> Family:
    """Return the family of a model that was read."""
    return next(family for family in families() if family.name == trained.family)


def read_model(path: str | Path) -> TrainedModel:
    """Read a trained model; its family and form are found from its content. Nothing that the file holds is run.

    Parameters
    ----------
    path
        A file that mace-torch saved with ``torch.save(model, path)``, a portable file, the name of a shipped model, or
        a file of a registered family.

    Raises
    ------
    ModelFileError
        If there is no such file, it is not a model, or it is damaged.
    UnsupportedModelError
        If the model has a feature that the package does not know; the message names it.
    """
    path = resolve_model(path)
    wanted = "give " + " or ".join(family.files for family in families())
    if path.is_dir():
        raise ModelFileError(f"{path} is a directory; {wanted}")
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}); {wanted}") from error
    if not start:
        raise ModelFileError(f"{path} is empty; copy the model again")
    for family in families():
        if family.is_model_file(path, start):
            return family.read(path)
    raise ModelFileError(f"{path} is not a model file; {wanted}")
