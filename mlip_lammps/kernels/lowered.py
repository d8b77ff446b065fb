"""Constants of a model's layers, the input of the backends, independent of their implementation.

Layouts: node features have shape (n_atoms, n_components, n_channels), with the channel as innermost index. Components
run over the irreps in order and over m within one irrep. Edges are sorted by centre.
"""

from dataclasses import dataclass

from torch import Tensor

from mlip_lammps.kernels.global_embedding import GlobalEmbedding
from mlip_lammps.kernels.radial_constants import RadialBasis, RadialNetwork
from mlip_lammps.model_file.contract import ProgramSpec, program_specs
from mlip_lammps.structure.latent_ewald import LatentEwald

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
        Trained weights, shape (n_elements, n_components_out, n_parameters, n_channels); one row if all elements have
        the same.
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
class Density:
    """Divisor of the message: offset + factor sum_j tanh(network(basis(r_ij))^2).

    The terms of the sum are multiplied by the cutoff unless the basis already is.
    """

    network: RadialNetwork
    offset: float = 1.0
    factor: float = 1.0


@dataclass(frozen=True)
class Gate:
    """Steps between the message and the product basis; tensors in float64.

    Attributes
    ----------
    residual
        Linear map of the centre's own features after the map ``up``, added to the message.
    orders
        Order l of each gated irrep. Components before the gate: a scalar, one gate for each gated irrep, then the
        gated irreps.
    scalar_scale, gate_scale
        Factors of silu on the scalar and of the logistic function on the gates.
    linear
        Linear map after the gate.
    """

    residual: tuple[LinearBlock, ...]
    orders: tuple[int, ...]
    scalar_scale: float
    gate_scale: float
    linear: tuple[LinearBlock, ...]


@dataclass(frozen=True)
class Attention:
    """Scalars of both atoms of an edge that enter its radial network; tensors in float64.

    Attributes
    ----------
    down
        Linear map from the features of an atom to its scalars.
    from_source, from_target
        Matrices from the scalars of the neighbour and of the centre to what is added after the network's first matrix,
        shape (n_scalars, width).
    """

    down: tuple[LinearBlock, ...]
    from_source: Tensor
    from_target: Tensor

    @property
    def n_scalars(self) -> int:
        return self.from_source.shape[0]


@dataclass(frozen=True)
class LoweredLayer:
    """Constants of one layer; tensors in float64.

    Attributes
    ----------
    embedding
        Features of each element before the first layer, shape (n_elements, 1, n_channels); None in other layers.
    n_channels, n_edge_channels
        Channels of features, messages and results, and of the neighbours' features after ``up``.
    polynomial, mix
        Product basis and the linear map after it; empty in a gated convolution, whose skip connection is added to the
        message.
    n_components_in, n_components_edge, n_components_mid, n_components_message, n_components_out
        Components of the features, after ``up``, of the sum over neighbours, of the product basis, and of the result.
    up, skip, message, mix
        Linear maps of the neighbour features, of the skip connection (by element or not), of the message (optionally by
        element), and of the product basis.
    radial
        Network that gives n_paths * n_edge_channels weights.
    readout_matrices
        One matrix for a linear readout of the scalar features, or more with ``readout_activation`` between them.
    charge_matrices
        Matrices of a readout of the same form for latent charges, without biases; empty without charges.
    readout_activation
        ``silu``, ``tanh``, ``abs`` or ``identity``.
    readout_biases
        Biases after each matrix except the first, or empty.
    density
        Divisor of the message; None if it is part of ``message``.
    gate
        Steps between the message and the product basis; None if there are none.
    attention
        Scalars of both atoms for the radial network; None if it takes none.
    """

    n_channels: int
    n_edge_channels: int
    embedding: Tensor | None
    n_components_in: int
    n_components_edge: int
    n_components_mid: int
    n_components_message: int
    n_components_out: int
    up: tuple[LinearBlock, ...]
    paths: tuple[ConvolutionPath, ...]
    radial: RadialNetwork
    message: tuple[LinearBlock, ...]
    polynomial: tuple[PolynomialOrder, ...]
    mix: tuple[LinearBlock, ...]
    skip: tuple[LinearBlock, ...]
    readout_scalars: tuple[int, ...]
    readout_matrices: tuple[Tensor, ...]
    readout_activation_scale: float
    readout_activation: str = "silu"
    readout_biases: tuple[Tensor, ...] = ()
    density: Density | None = None
    gate: Gate | None = None
    attention: Attention | None = None
    charge_matrices: tuple[Tensor, ...] = ()

    @property
    def is_gated_convolution(self) -> bool:
        """Whether the message has no product basis: its family adds a gate of its own."""
        return not self.polynomial

    @property
    def width_out(self) -> int:
        return self.n_components_out * self.n_channels

    @property
    def has_edge_irreps(self) -> bool:
        """Whether ``up`` changes the channels or components of the features."""
        return (self.n_edge_channels, self.n_components_edge) != (self.n_channels, self.n_components_in)

    @property
    def width_edge(self) -> int:
        """Width of the neighbours' features after the map ``up``."""
        return self.n_components_edge * self.n_edge_channels

    @property
    def width_scalars(self) -> int:
        """Width of the scalars for the radial network."""
        return 0 if self.attention is None else self.attention.n_scalars

    @property
    def n_components_ungated(self) -> int:
        """Components of the message before the gate, if there is one."""
        return self.n_components_message + (0 if self.gate is None else len(self.gate.orders))

    @property
    def width_message(self) -> int:
        return self.n_components_ungated * self.n_channels

    @property
    def width_skip(self) -> int:
        """Width of what the layer takes from the centre itself: the skip connection, a residual, and scalars."""
        residual = 0 if self.gate is None else self.width_edge
        return (self.width_out if self.skip else 0) + residual + self.width_scalars

    def linear_map(self, kind: str) -> tuple[tuple[LinearBlock, ...], int, int]:
        """Return the blocks of a linear map of atoms, and the numbers of components before and after it.

        ``kind`` is ``up``, ``skip``, ``mix``, or with a gate ``residual`` or ``gated``.
        """
        if kind == "up":
            return self.up, self.n_components_in, self.n_components_edge
        if kind == "skip":
            n_out = self.n_components_message if self.is_gated_convolution else self.n_components_out
            return self.skip, self.n_components_in, n_out
        if kind == "mix":
            return self.mix, self.n_components_out, self.n_components_out
        if kind == "residual":
            return self.gate.residual, self.n_components_edge, self.n_components_ungated
        return self.gate.linear, self.n_components_message, self.n_components_message

    @property
    def linear_kinds(self) -> tuple[str, ...]:
        """The linear maps of atoms in this layer; what enters the first one depends on the element alone."""
        of_all = ("mix",) if self.gate is None else ("mix", "residual", "gated")
        return of_all if self.embedding is not None else (*of_all, "up", "skip")

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
    global_embedding
        What global inputs add to the features before the first layer; None if the model has none.
    latent_ewald
        Long-range energy of latent charges; None if the model has none.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    l_max: int
    radial: RadialBasis
    layers: tuple[LoweredLayer, ...]
    node_constants: Tensor
    energy_scale: float
    repulsion: RepulsionTables | None
    global_embedding: GlobalEmbedding | None = None
    latent_ewald: LatentEwald | None = None

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @property
    def has_pair_functions(self) -> bool:
        """Whether radial functions depend on the pair of elements."""
        networks = [layer.radial for layer in self.layers]
        networks += [layer.density.network for layer in self.layers if layer.density is not None]
        return self.radial.transform is not None or any(one.pair_biases is not None for one in networks)

    @property
    def has_attention(self) -> bool:
        """Whether radial functions depend on the features of the atoms, so that no table replaces them."""
        return any(layer.attention is not None for layer in self.layers)

    @property
    def is_smooth_at_cutoff(self) -> bool:
        """Whether radial functions vanish at the cutoff: networks with biases or attention need it after themselves."""
        networks = [layer.radial for layer in self.layers]
        networks += [layer.density.network for layer in self.layers if layer.density is not None]
        has_constants = any(one.biases or one.norms or one.pair_biases is not None for one in networks)
        return not self.radial.is_cutoff_on_basis or not (has_constants or self.has_attention)

    @property
    def feature_widths(self) -> tuple[int, ...]:
        """Widths of the features that layers 1 ... n_layers - 1 send to their neighbours."""
        return tuple(layer.width_edge + layer.width_scalars for layer in self.layers[1:])

    @property
    def skip_widths(self) -> tuple[int, ...]:
        """Widths of the skip connections from layers 1 ... n_layers - 1 to the next one; 0 if there is none."""
        return tuple(layer.width_skip for layer in self.layers[1:])

    @property
    def message_widths(self) -> tuple[int, ...]:
        """Widths of the messages that layers keep for their gradients; 0 if they are too large.

        The last layer has no entry unless the model has latent charges, whose gradients come later.
        """
        kept = self.layers[:-1] if self.latent_ewald is None else self.layers
        widths = [layer.width_message for layer in kept]
        return tuple(width if width <= _WIDEST_KEPT_MESSAGE else 0 for width in widths)

    @property
    def programs(self) -> tuple[ProgramSpec, ...]:
        """The programs of the model in execution order."""
        has_global_inputs = self.global_embedding is not None
        return program_specs(self.skip_widths, self.message_widths, self.has_pair_functions, has_global_inputs)

    def chunk_atoms(self) -> int:
        """Return the number of centres per program call on a CPU, such that their messages stay in the cache."""
        widest = max(max(layer.n_components_mid * layer.n_edge_channels, layer.width_message) for layer in self.layers)
        return 64 if self.has_attention else min(512, max(64, _CHUNK_NUMBERS // widest))
