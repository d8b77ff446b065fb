"""Constants of a model's layers, the input of the backends, independent of their implementation.

Layouts: node features have shape (n_atoms, n_components, n_channels), with the channel as innermost index. Components
run over the irreps in order and over m within one irrep. Edges are sorted by centre.
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
        First component of the source in the features, and of the result in the message.
    out_stride
        Distance between successive m of the result, in components.
    l_in, l_edge, l_out
        Coupled orders.
    coupling
        Coupling coefficients, shape (2 l_in + 1, 2 l_edge + 1, 2 l_out + 1).
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
    """Linear map of one irrep.

    Attributes
    ----------
    in_start, in_copies
        First component of the source, and number of copies of the irrep, in the order m (outermost), copy, channel.
    out_start, dim
        First component of the result, and 2 l + 1.
    matrix
        Matrix of shape (in_copies * n_channels, n_channels), optionally with a leading element axis.
    """

    in_start: int
    in_copies: int
    out_start: int
    dim: int
    matrix: Tensor


@dataclass(frozen=True)
class PolynomialOrder:
    """All monomials of one degree and their coefficients in each output.

    Attributes
    ----------
    indices
        Components of each monomial in ascending order, shape (n_monomials, degree), int64.
    couplings
        Coupling coefficients, shape (n_monomials, n_components_out, n_parameters).
    weights
        Trained weights, shape (n_elements, n_components_out, n_parameters, n_channels).
    """

    indices: Tensor
    couplings: Tensor
    weights: Tensor


@dataclass(frozen=True)
class RepulsionTables:
    """Constants of the pair repulsion; tensors in float64.

    Attributes
    ----------
    strengths, decays, reaches
        Values by pair of elements i * n_elements + j, shape (n_elements^2,): half the product of the charges in
        eV angstrom, the inverse screening length in 1/angstrom, and the inverse cutoff distance in 1/angstrom.
    coefficients, exponents
        Constants of the screening function, shape (4,).
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
class DistanceTransform:
    """Map of the distance before the Bessel functions, by pair of elements.

    Attributes
    ----------
    kind, parameters
        ``Agnesi``: with x = r / length, 1 / (1 + a x^q / (1 + x^(q - p))) and the parameters a, q, p. ``Soft``: with
        r_0 = 3/4 length, r_1 = 4/3 length and r_m their mean,
        r_0 + (r - r_0) (1 + tanh(alpha (r - r_m) / (r_1 - r_0))) / 2 and the parameter alpha.
    lengths
        Length of each pair of elements i * n_elements + j in angstrom, shape (n_elements^2,), float64.
    """

    kind: str
    parameters: tuple[float, ...]
    lengths: Tensor


@dataclass(frozen=True)
class RadialBasis:
    """Bessel functions times a polynomial cutoff; tensors in float64.

    Attributes
    ----------
    wave_numbers, prefactor
        Constants of prefactor * sin(k r) / r: wave numbers in 1/angstrom, shape (n_basis,), and a scalar.
    cutoff_power
        Exponent of the polynomial cutoff.
    is_cutoff_on_basis
        Whether the cutoff multiplies the basis before the MLP; otherwise it multiplies the weights after it.
    transform
        Map of the distance before the Bessel functions; the cutoff keeps the distance. None without a map.
    """

    wave_numbers: Tensor
    prefactor: Tensor
    cutoff_power: int
    is_cutoff_on_basis: bool
    transform: DistanceTransform | None = None


@dataclass(frozen=True)
class LoweredLayer:
    """Constants of one layer; tensors in float64.

    Attributes
    ----------
    embedding
        Features of each element before the first layer, shape (n_elements, 1, n_channels); None in other layers.
    up, skip, message, mix
        Linear maps of the neighbour features, of the skip connection (by element), of the message (optionally by
        element), and of the product basis.
    radial_matrices
        Matrices of the radial MLP; the last one gives n_paths * n_channels weights.
    readout_matrices
        One matrix for a linear readout of the scalar features, or more with ``readout_activation`` between them.
    readout_activation
        ``silu``, ``tanh``, ``abs`` or ``identity``.
    readout_biases
        Biases after each matrix except the first, or empty.
    density
        Matrix D of shape (n_basis, 1): the message is divided by 1 + sum_j tanh((basis(r_ij) D)^2), whose terms are
        multiplied by the cutoff unless the basis already is. None without a density.
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
    readout_activation: str = "silu"
    readout_biases: tuple[Tensor, ...] = ()
    density: Tensor | None = None

    @property
    def width_out(self) -> int:
        return self.n_components_out * self.n_channels

    @property
    def width_message(self) -> int:
        return self.n_components_message * self.n_channels

    @property
    def is_message_by_element(self) -> bool:
        """Whether the linear map of the message depends on the centre's element."""
        return any(block.matrix.ndim == 3 for block in self.message)


@dataclass(frozen=True)
class LoweredModel:
    """Constants of a whole model for a subset of its elements.

    Attributes
    ----------
    cutoff
        Cutoff in angstrom.
    l_max
        Largest order of the spherical harmonics.
    node_constants
        Constant energy of each element (atomic energy and shift) in eV, shape (n_elements,).
    energy_scale
        Scale of the readouts in eV.
    repulsion
        Pair repulsion, including the energy scale; None if the model has none.
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
    def has_pair_functions(self) -> bool:
        """Whether radial functions depend on the pair of elements."""
        return self.radial.transform is not None

    @property
    def feature_widths(self) -> tuple[int, ...]:
        """Widths of the features that layers 1 ... n_layers - 1 send to their neighbours."""
        return tuple(layer.width_out for layer in self.layers[:-1])

    @property
    def skip_widths(self) -> tuple[int, ...]:
        """Widths of the skip connections from layers 1 ... n_layers - 1 to the next one; 0 if there is none."""
        return tuple(layer.width_out if layer.skip else 0 for layer in self.layers[1:])

    @property
    def message_widths(self) -> tuple[int, ...]:
        """Widths of the messages that layers 1 ... n_layers - 1 keep for their gradients; 0 if they are too large."""
        widths = [layer.width_message for layer in self.layers[:-1]]
        return tuple(width if width <= _WIDEST_KEPT_MESSAGE else 0 for width in widths)

    @property
    def programs(self) -> tuple[ProgramSpec, ...]:
        """The programs of the model in execution order."""
        return program_specs(self.skip_widths, self.message_widths, self.has_pair_functions)

    def chunk_atoms(self) -> int:
        """Return the number of centres per program call on a CPU, such that their messages stay in the cache."""
        widest = max(max(layer.n_components_mid * layer.n_channels, layer.width_message) for layer in self.layers)
        return min(512, max(64, _CHUNK_NUMBERS // widest))
