"""What a family of models is: how its files are read, its reference, and its layers. No torch here."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mlip_lammps.families.layered import LayeredModel
    from mlip_lammps.families.reference import ReferenceModel


class TrainedModel(Protocol):
    """A model as it was trained, of any family."""

    source_sha256: str
    """Digest of the file that was read first; a portable file keeps that of its origin."""
    source_name: str

    @property
    def family(self) -> str:
        """Name of the family, as the registry has it."""

    @property
    def atomic_numbers(self) -> tuple[int, ...]:
        """Elements in the order of the model's table."""

    @property
    def cutoff(self) -> float:
        """Angstrom."""

    @property
    def dtype(self) -> str:
        """Precision that the model was trained in: ``float64`` or ``float32``."""

    @property
    def n_layers(self) -> int:
        """Message-passing layers."""

    def content_digest(self) -> str:
        """Return a digest of everything that shapes the model's results."""

    def facts(self) -> dict[str, Any]:
        """Return what ``mlip-lammps info`` shows of the model."""

    def describe(self) -> dict[str, Any]:
        """Return what the metadata of a compiled file says of the model besides its elements, cutoff and layers."""


class Family(Protocol):
    """One family: a module or an object with these names."""

    name: str
    """As models and compiled files have it."""
    files: str
    """What its files are, in words, for messages."""

    def is_model_file(self, path: Path, start: bytes) -> bool:
        """Return whether a file, whose first 16 bytes are ``start``, is one of this family.

        Files are offered to each family in turn; a damaged file belongs to the family that can say so.
        """

    def read(self, path: Path) -> TrainedModel:
        """Read a file without running what it holds.

        Raises
        ------
        ModelFileError
            If the file is damaged.
        UnsupportedModelError
            If the model has a feature that the family does not know; the message names it.
        """

    def reference(self, trained: TrainedModel) -> "ReferenceModel":
        """Return the model in plain torch and float64: what every compiled file is compared with."""

    def layers(self, trained: TrainedModel, atomic_numbers: tuple[int, ...]) -> "LayeredModel":
        """Return the model as a chain of layers for a choice of its elements, in the order of species rows."""
