"""A model as compilation takes it: a chain of layers, whatever they are."""

from abc import ABC, abstractmethod
from pathlib import Path

from mlip_lammps.families.chain import Chain
from mlip_lammps.kernels.backend import LayerOperators, NoOperators
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.model_file.contract import ProgramSpec, program_specs

_PLAIN_CHUNK_ATOMS = 128


class LayeredModel(ABC):
    """A model for a choice of its elements, as a chain of layers. It can be pickled.

    Attributes
    ----------
    atomic_numbers
        Elements in the order of species rows.
    cutoff
        Angstrom.
    feature_widths
        Width of the features that layers 1 ... n_layers - 1 send to their neighbours.
    skip_widths
        Width of what these layers add to the result of the next one directly; 0 where they do not.
    message_widths
        Width of what their gradients need and would otherwise compute again; 0 where nothing is kept.
    lowered
        Constants of the layers in terms of the kernels; None for a model that is plain torch.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    feature_widths: tuple[int, ...] = ()
    lowered: LoweredModel | None = None

    @property
    def skip_widths(self) -> tuple[int, ...]:
        return (0,) * len(self.feature_widths)

    @property
    def message_widths(self) -> tuple[int, ...]:
        return (0,) * len(self.feature_widths)

    @property
    def n_layers(self) -> int:
        return len(self.feature_widths) + 1

    @property
    def programs(self) -> tuple[ProgramSpec, ...]:
        """The programs of the model in the order in which they run."""
        return program_specs(self.skip_widths, self.message_widths)

    def chunk_atoms(self) -> int:
        """Return how many centres one call of a program takes on a CPU: their messages stay in the cache."""
        return _PLAIN_CHUNK_ATOMS

    def operators(self, name: str, dtype: str, radial: str, scratch: Path) -> LayerOperators | NoOperators:
        """Return the operators of a backend (``torch`` or ``cpu``) for this model.

        ``radial`` is that of ``export_model``.
        """
        return NoOperators()

    @abstractmethod
    def chain(self, dtype: str, operators: LayerOperators | NoOperators) -> Chain:
        """Return the layers as torch functions in a precision (``float64``, ``float32`` or ``mixed``)."""
