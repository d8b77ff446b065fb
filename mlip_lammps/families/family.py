"""Interface of a model family: file reader, reference model and layers. This module does not import torch."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mlip_lammps.families.layered import LayeredModel
    from mlip_lammps.families.reference import ReferenceModel


def digest_of(spec: Any, weights: Mapping[str, NDArray[np.generic]]) -> str:
    """Return a digest of a specification, by its ``repr``, and of arrays by name."""
    digest = hashlib.sha256(repr(spec).encode())
    for name, array in sorted(weights.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


class SpecifiedModel:
    """Base of trained models that are a specification and arrays by name, ``spec`` and ``weights``."""

    spec: Any
    weights: Mapping[str, NDArray[np.generic]]
    dtype: str
    remarks: Mapping[str, str]

    @property
    def atomic_numbers(self) -> tuple[int, ...]:
        return self.spec.atomic_numbers

    @property
    def cutoff(self) -> float:
        return self.spec.cutoff

    @property
    def n_layers(self) -> int:
        return self.spec.n_layers

    def facts(self) -> dict[str, Any]:
        """Return the properties that ``mlip-lammps info`` prints."""
        n_weights = sum(self.weights[name].size for name in self.spec.weight_shapes())
        return {**self.remarks, "dtype": self.dtype, **vars(self.spec), "n_weights": n_weights}

    def content_digest(self) -> str:
        """Return a digest of specification and weights; those of a portable file may differ from its source file."""
        return digest_of(self.spec, self.weights)


class TrainedModel(Protocol):
    """A trained model of any family."""

    source_sha256: str
    """SHA-256 of the original file; a portable file stores that of the file it was made from."""
    source_name: str

    @property
    def family(self) -> str:
        """Name of the family in the registry."""

    @property
    def atomic_numbers(self) -> tuple[int, ...]:
        """Elements in the order of the model's element table."""

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom."""

    @property
    def dtype(self) -> str:
        """Precision of training: ``float64`` or ``float32``."""

    @property
    def n_layers(self) -> int:
        """Number of message-passing layers."""

    def content_digest(self) -> str:
        """Return a digest of everything that determines the model's results."""

    def facts(self) -> dict[str, Any]:
        """Return the properties that ``mlip-lammps info`` prints."""

    def describe(self) -> dict[str, Any]:
        """Return properties for the metadata of a compiled file, in addition to elements, cutoff and layers."""


class Family(Protocol):
    """A model family: a module or an object with these attributes.

    A family whose models may have several heads also has ``select_head(trained, head)``, which returns a model with the
    head of this name alone. If ``head`` is None, it returns a model with one head as it is and raises
    ``UserInputError`` for a model with several.

    Optional names for the output of the commands: ``inspect(path)`` returns facts of a file for ``mlip-lammps info``,
    also if ``read`` refuses it. ``form_of(path)`` returns the name of the file's format (default: the name of the
    family). ``line_of_layer(layer)`` returns a line about one of the ``layers`` of ``TrainedModel.facts``.
    ``exact_radial`` says what the radial functions are where no tables replace them.
    """

    name: str
    """Name of the family in models and compiled files."""
    files: str
    """Program and ending of its files, for error messages: ``SevenNet (.pth)``."""

    def is_model_file(self, path: Path, start: bytes) -> bool:
        """Return whether a file with the first 16 bytes ``start`` belongs to this family.

        Each family is asked in turn. A family should also claim damaged files, so that ``read`` can report the damage.
        """

    def read(self, path: Path) -> TrainedModel:
        """Read a file without running its content.

        Raises
        ------
        ModelFileError
            If the file is damaged.
        UnsupportedModelError
            If the model has a feature that the family does not support; the message names the feature.
        """

    def reference(self, trained: TrainedModel) -> "ReferenceModel":
        """Return the reference model in plain torch and float64, with which compiled files are compared."""

    def layers(self, trained: TrainedModel, atomic_numbers: tuple[int, ...]) -> "LayeredModel":
        """Return the model as a chain of layers for a subset of its elements, in species order."""
