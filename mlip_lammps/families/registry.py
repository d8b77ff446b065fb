"""Registry of model families, and identification of the family of a file."""

import importlib
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UserInputError
from mlip_lammps.families.family import Family, TrainedModel
from mlip_lammps.families.other_potentials import refusal
from mlip_lammps.models import folder_of_part, resolve_model

_PACKAGES = (
    "mlip_lammps.families.sevennet",
    "mlip_lammps.families.nequip",
    "mlip_lammps.families.bpnn",
    "mlip_lammps.families.ace",
    "mlip_lammps.families.ani",
    "mlip_lammps.families.tensornet",
    "mlip_lammps.families.chgnet",
    "mlip_lammps.families.matgl_chgnet",
    "mlip_lammps.families.m3gnet",
    "mlip_lammps.families.esen",
    "mlip_lammps.families.mace",
)
"""Packages that define a ``FAMILY``. MACE is asked last: it claims every file of torch that nobody else knows."""
ENTRY_POINTS = "mlip_lammps.families"
"""Group of entry points of other packages; each names a ``Family``."""

_FOLDER = "(folder"

_NAMES = ("name", "files", "is_model_file", "read", "reference", "layers")

_registered: dict[str, Family] = {}


def register_family(family: Family) -> None:
    """Register a family for this process and the compilations that it starts.

    A package whose family the ``mlip-lammps`` command should know declares an entry point in the group
    ``mlip_lammps.families`` instead.

    Raises
    ------
    UserInputError
        If the family lacks a name of ``Family``.
    """
    _require_complete(family, "the family")
    _registered[family.name] = family


def families() -> tuple[Family, ...]:
    """Return all families; those of other packages come first, so that they take precedence.

    Raises
    ------
    UserInputError
        If the family of an installed package cannot be loaded.
    """
    return (*_registered.values(), *_installed(), *_own())


def family_named(name: str) -> Family | None:
    """Return the family of that name; None if there is none."""
    return next((family for family in families() if family.name == name), None)


def family_of(trained: TrainedModel) -> Family:
    """Return the family of a trained model."""
    return next(family for family in families() if family.name == trained.family)


def _own() -> list[Family]:
    return [importlib.import_module(package).FAMILY for package in _PACKAGES]


def _forms(kind: str = "") -> str:
    """Return the programs whose models are read, with their endings; MACE is the first of our own."""
    named = dict.fromkeys(family.files for family in (*_registered.values(), *_installed(), *reversed(_own())))
    return ", ".join(files for files in named if kind in files)


@cache
def _installed() -> tuple[Family, ...]:
    """Return the families that installed packages declare as entry points."""
    found = []
    for point in entry_points(group=ENTRY_POINTS):
        where = f"the model family {point.name} = {point.value} of {point.dist.name if point.dist else 'a package'}"
        try:
            family = point.load()
        except Exception as error:  # code of another package
            raise UserInputError(
                f"{where} cannot be loaded ({type(error).__name__}: {error}); update or uninstall the package"
            ) from error
        _require_complete(family, where)
        found.append(family)
    return tuple(found)


def _require_complete(family: object, where: str) -> None:
    if missing := [name for name in _NAMES if not hasattr(family, name)]:
        raise UserInputError(f"{where} lacks {', '.join(missing)}; see mlip_lammps.families.Family")


def inspect_model(path: Path) -> dict[str, Any]:
    """Return what is known about a file whether `read_model` takes it or not; empty if no family knows it."""
    for family in families():
        inspect = getattr(family, "inspect", None)
        found = inspect(path) if inspect is not None else {}
        if found:
            return {"family": family.name, **found}
    return {}


def select_head(trained: TrainedModel, head: str | None) -> TrainedModel:
    """Return ``trained`` with one head.

    Parameters
    ----------
    head
        Name of the head; None if the model has only one.

    Raises
    ------
    UserInputError
        If the model has no such head, or if it has several and ``head`` is None; the message lists them.
    """
    select = getattr(family_of(trained), "select_head", None)
    if select is not None:
        return select(trained, head)
    if head is not None:
        raise UserInputError(f"{trained.source_name} has no heads; do not choose one")
    return trained


def read_model(path: str | Path) -> TrainedModel:
    """Read a trained model without running its content; the content determines the family and the file format.

    Parameters
    ----------
    path
        mace-torch file saved with ``torch.save(model, path)``, portable file, name of a shipped model, or file of a
        registered family.

    Raises
    ------
    ModelFileError
        If the file does not exist, is not a model, or is damaged.
    UnsupportedModelError
        If the model has a feature that the package does not support; the message names the feature.
    UserInputError
        If ``path`` is neither a path nor a string, or the family of an installed package cannot be loaded.
    """
    path = resolve_model(path)
    if path.is_dir():
        wanted = f"give a file, or the folder of a potential: {_forms(_FOLDER)}"
        raise ModelFileError(f"{path} is a folder without a model; {wanted}")
    wanted = f"give a file of {_forms()}"
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
    if (folder := folder_of_part(path)) is not None:
        raise ModelFileError(f"{path} is not a model file, but its folder contains a potential; give {folder}")
    raise ModelFileError(refusal(path) or f"{path} is not a model file; {wanted}")
