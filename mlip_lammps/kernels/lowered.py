"""The constants of a model's layers, as the backends take them: what a layer computes, and nothing of how.

Layouts: node features are (n_atoms, n_components, n_channels) with the channel innermost; components run over the
irreps in order and over m within one irrep. Edges are sorted by centre.
"""

from dataclasses import dataclass

from torch import Tensor

from mlip_lammps.model_file.contract import ProgramSpec, program_specs

_WIDEST_KEPT_MESSAGE = 512
_CHUNK_NUMBERS = 1 << 18


@dataclass(frozen=True)
class ConvolutionPath:
    """One coupling (l_in, l_edge) -> l_out of the convolution.

    Attributes
    ----------
    in_start, out_start
        First component of the source in the features and of the result in the message.
    out_stride
        Distance of successive m of the result, in components.
    l_in, l_edge, l_out
        Orders that are coupled.
    coupling
        Shape (2 l_in + 1, 2 l_edge + 1, 2 l_out + 1).
    """

    in_start: int
    out_start: int
    out_stride: int
    l_in: int
    l_edge: int
    l_out: int
    coupling: Tensor


@dataclass(frozen=True)
class LinearBlock:
    """Map of one irrep.

    Attributes
    ----------
    in_start, in_copies
        First component of the source; how many copies of the irrep lie there, m outermost, then copy, then channel.
    out_start, dim
        First component of the result, and 2 l + 1.
    matrix
        Shape (in_copies * n_channels, n_channels), or with an element axis in front.
    """

    in_start: int
    in_copies: int
    out_start: int
    dim: int
    matrix: Tensor


@dataclass(frozen=True)
class PolynomialOrder:
    """All monomials of one degree with what each adds to each output.

    Attributes
    ----------
    indices
        Components in each monomial, not decreasing, shape (n_monomials, degree), int64.
    couplings
        Shape (n_monomials, n_components_out, n_parameters).
    weights
        Shape (n_elements, n_components_out, n_parameters, n_channels).
    """

    indices: Tensor
    couplings: Tensor
    weights: Tensor


@dataclass(frozen=True)
class RepulsionTables:
    """Constants of the repulsion; tensors in float64.

    Attributes
    ----------
    strengths, decays, reaches
        By pair of elements i * n_elements + j, shape (n_elements^2,): half the product of the charges in
        eV angstrom; 1 / screening length; 1 / distance from which on there is none; both in 1/angstrom.
    coefficients, exponents
        Of the screening function, shape (4,).
    """

    n_elements: int
    strengths: Tensor
    decays: Tensor
    reaches: Tensor
    coefficients: tuple[float, ...]
    exponents: tuple[float, ...]
    cutoff_power: int
    cutoff: float


@dataclass(frozen=True)
class RadialBasis:
    """Bessel functions times a polynomial cutoff; tensors in float64.

    Attributes
    ----------
    wave_numbers, prefactor
        Of prefactor * sin(k r) / r: 1/angstrom, shape (n_basis,), and a number.
    cutoff_power
        Exponent of the polynomial cutoff.
    is_cutoff_on_basis
        Whether the cutoff multiplies the basis before the MLP; else the weights after it.
    """

    wave_numbers: Tensor
    prefactor: Tensor
    cutoff_power: int
    is_cutoff_on_basis: bool


@dataclass(frozen=True)
class LoweredLayer:
    """Constants of one layer; tensors in float64.

    Attributes
    ----------
    embedding
        Features of each element before the first layer, shape (n_elements, 1, n_channels), else None.
    up, skip, message, mix
        Linear maps: of the neighbours' features, of the skip connection (by element), of the message (by element or
        not), and of the product basis.
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

    @property
    def is_message_by_element(self) -> bool:
        """Whether the linear map of the message has a matrix for each element of the centre."""
        return any(block.matrix.ndim == 3 for block in self.message)


@dataclass(frozen=True)
class LoweredModel:
    """Constants of a whole model for a choice of elements.

    Attributes
    ----------
    cutoff
        Angstrom.
    l_max
        Largest order of the spherical harmonics.
    node_constants
        Energy of each element that depends on nothing else (atomic energy and shift), eV, shape (n_elements,).
    energy_scale
        Factor of the readouts, eV.
    repulsion
        Repulsion of nuclei with the factor in it; None where the model has none.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    l_max: int
    radial: RadialBasis
    layers: tuple[LoweredLayer, ...]
    node_constants: Tensor
    energy_scale: float
    repulsion: RepulsionTables | None

    @property
    def n_layers(self) -> int:
        return len(self.layers)

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
