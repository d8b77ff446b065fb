"""Folders of MatGL: arguments in ``model.pt`` and weights in ``state.pt``, as data and without torch."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive, small_pickle
from mlip_lammps.families.checkpoints.weights import weight_of
from mlip_lammps.models import MATGL_NAMES, MATGL_WEIGHTS

FILES = "MatGL (folder: CHGNet, M3GNet, TensorNet)"
"""What ``Family.files`` is for all models of MatGL."""
ARGUMENTS_NAME, DESCRIPTION_NAME = MATGL_NAMES

_TRANSFORMERS = frozenset(f"matgl.data.transformer.{name}" for name in ("Normalizer", "LinearScaler", "LogTransformer"))
"""Classes in files of property models, which are named in their refusal."""


@dataclass(frozen=True)
class Potential:
    """A potential of MatGL as its folder describes it.

    Attributes
    ----------
    source
        Path of ``model.pt`` for messages.
    name
        Name of the folder.
    options
        Arguments of the ``Potential``.
    """

    arguments: Path
    source: str
    name: str
    options: Mapping[str, Any]

    def sha256(self) -> str:
        """Return the digest of arguments and weights."""
        state = self.arguments.with_name(MATGL_WEIGHTS)
        return hashlib.sha256(self.arguments.read_bytes() + state.read_bytes()).hexdigest()

    @contextmanager
    def open_state(self) -> "Iterator[State]":
        """Open the weights."""
        path = self.arguments.with_name(MATGL_WEIGHTS)
        with _open(path) as archive:
            records = archive.root()
            if not isinstance(records, dict):
                raise ModelFileError(f"{path} contains no state dict; copy the file again")
            yield State(archive, records)


@dataclass(frozen=True)
class State:
    """The open weights of a potential: records by their names in ``state.pt``."""

    archive: TorchArchive
    records: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return name in self.records

    def array(self, name: str, shape: tuple[int, ...]) -> NDArray[np.floating]:
        """Return a weight, see ``weight_of``."""
        return weight_of(self.archive, self.records, name, shape)

    def scale_and_constants(self, n_elements: int) -> dict[str, NDArray[np.floating]]:
        """Return ``scale`` () and ``constants`` (n_elements,) in eV.

        The energy of an atom is the scale times the output of the network, plus the constant of its element.

        Raises
        ------
        UnsupportedModelError
            If the potential has a constant for each structure.
        """
        mean = float(self.array("data_mean", ()))
        if mean != 0.0:
            raise UnsupportedModelError(
                f"{self.archive.name} has a data_mean of {mean:g} eV, which MatGL adds to the energy of a structure of "
                "any size; train with data_mean 0 and element_refs"
            )
        constants = np.zeros(n_elements)
        if any(name.startswith("element_refs.") for name in self.records):
            constants = self.array("element_refs.property_offset", (n_elements,))
        return {"scale": self.array("data_std", ()), "constants": constants}


def is_matgl_file(path: Path, start: bytes, marks: tuple[bytes, ...]) -> bool:
    """Return whether a file is one of the three in a folder of MatGL, and the arguments or weights contain a mark."""
    if path.name == DESCRIPTION_NAME:
        path = path.with_name(ARGUMENTS_NAME)
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            start = stream.read(len(start))
    pickled = small_pickle(path, start)
    return pickled is not None and any(mark in pickled for mark in marks)


def read_potential(path: Path) -> Potential:
    """Read the arguments of a potential.

    Parameters
    ----------
    path
        ``model.pt`` or ``model.json`` in the folder.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged.
    """
    arguments = path.with_name(ARGUMENTS_NAME) if path.name == DESCRIPTION_NAME else path
    with _open(arguments) as archive:
        options = archive.root()
    if not isinstance(options, dict):
        raise ModelFileError(f"{arguments} contains no arguments of a MatGL model; copy the file again")
    if "data_std" in options and "model" not in options:
        raise ModelFileError(f"{path} contains weights only; give {ARGUMENTS_NAME} or the folder that contains both")
    return Potential(arguments, str(arguments), path.absolute().parent.name or path.name, options)


def _open(path: Path) -> TorchArchive:
    if not path.is_file():
        raise ModelFileError(
            f"{path} is missing: a potential of MatGL is a folder with {ARGUMENTS_NAME} and {MATGL_WEIGHTS}; copy both"
        )
    return TorchArchive(path, _TRANSFORMERS)
