"""The constants of a model's layers, as the layers and the kernels take them."""

from dataclasses import dataclass

from torch import Tensor

from mlip_lammps.checkpoint import ModelSpec
from mlip_lammps.export.contract import ProgramSpec, program_specs
from mlip_lammps.kernels.edge_convolution import ConvolutionPath
from mlip_lammps.kernels.linear import LinearBlock
from mlip_lammps.kernels.pair_repulsion import RepulsionTables
from mlip_lammps.kernels.symmetric_contraction import PolynomialOrder

_WIDEST_KEPT_MESSAGE = 512
_CHUNK_NUMBERS = 1 << 18


@dataclass(frozen=True)
class LoweredLayer:
    """Constants of one layer; tensors in float64.

    Attributes
    ----------
    embedding
        Features of each element before the first layer, shape (n_elements, 1, n_channels), else None.
    up, skip, message, mix
        Linear maps: of the neighbours' features, of the skip connection (by element), of the message (by element in
        a layer that is not residual), and of the product basis.
    radial_matrices
        MLP of the radial basis; the last gives (n_paths * n_channels) weights.
    readout_matrices
        One matrix (linear) or two with silu between, from the scalar features.
    """

    n_channels: int
    embedding: Tensor | None
    n_components_in: int
    n_components_mid: int
    n_components_message: int
    n_components_out: int
    up: tuple[LinearBlock, ...]
    paths: tuple[ConvolutionPath, ...]
    radial_matrices: tuple[Tensor, ...]
    radial_activation_scale: float
    message: tuple[LinearBlock, ...]
    message_by_element: bool
    polynomial: tuple[PolynomialOrder, ...]
    mix: tuple[LinearBlock, ...]
    skip: tuple[LinearBlock, ...]
    readout_scalars: tuple[int, ...]
    readout_matrices: tuple[Tensor, ...]
    readout_activation_scale: float

    @property
    def width_out(self) -> int:
        return self.n_components_out * self.n_channels

    @property
    def width_message(self) -> int:
        return self.n_components_message * self.n_channels


@dataclass(frozen=True)
class LoweredModel:
    """Constants of a whole model for a choice of elements.

    Attributes
    ----------
    node_constants
        Energy of each element that depends on nothing else (atomic energy and shift), eV, shape (n_elements,).
    energy_scale
        Factor of the readouts, eV.
    repulsion
        Repulsion of nuclei with the factor in it; None where the model has none.
    """

    spec: ModelSpec
    atomic_numbers: tuple[int, ...]
    wave_numbers: Tensor
    radial_prefactor: Tensor
    layers: tuple[LoweredLayer, ...]
    node_constants: Tensor
    energy_scale: float
    repulsion: RepulsionTables | None

    @property
    def feature_widths(self) -> tuple[int, ...]:
        """Width of the features that layers 1 ... n_layers - 1 hand on."""
        return tuple(layer.width_out for layer in self.layers[:-1])

    @property
    def skip_widths(self) -> tuple[int, ...]:
        """Width of what layers 1 ... n_layers - 1 add to the next one's result directly; 0 where they do not."""
        return tuple(layer.width_out if layer.skip else 0 for layer in self.layers[1:])

    @property
    def message_widths(self) -> tuple[int, ...]:
        """Width of the messages that layers 1 ... n_layers - 1 keep for their gradients; 0 where they are large."""
        widths = [layer.width_message for layer in self.layers[:-1]]
        return tuple(width if width <= _WIDEST_KEPT_MESSAGE else 0 for width in widths)

    @property
    def programs(self) -> tuple[ProgramSpec, ...]:
        """The programs of the model in the order in which they run."""
        return program_specs(self.skip_widths, self.message_widths)

    def chunk_atoms(self) -> int:
        """Return how many centres one call of a program takes on a CPU: their messages stay in the cache."""
        widest = max(max(layer.n_components_mid * layer.n_channels, layer.width_message) for layer in self.layers)
        return min(512, max(64, _CHUNK_NUMBERS // widest))
