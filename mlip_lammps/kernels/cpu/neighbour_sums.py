"""The sum over neighbours of a layer: which operator does it, and where it has its radial functions from."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from mlip_lammps.core.errors import TableError
from mlip_lammps.kernels.cpu.convolution import ConvolutionShape
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.network import NetworkShape
from mlip_lammps.kernels.cpu.radials import FromNetwork, FromTable
from mlip_lammps.kernels.cpu.simd import whole_vectors
from mlip_lammps.kernels.lowered import LinearBlock, LoweredLayer, LoweredModel
from mlip_lammps.kernels.moments import moment_blocks, moments_are_cheaper, network_moments_are_cheaper
from mlip_lammps.kernels.pair_tables import PairKinds, PairTable, pair_table
from mlip_lammps.kernels.radial_constants import RadialNetwork
from mlip_lammps.kernels.radial_functions import hidden_functions
from mlip_lammps.kernels.radial_table import RadialTable, reduce_table, tabulate
from mlip_lammps.kernels.torch.radial import radial_weights

# Bound on the relative error of the radial slopes, for each type of features.
SLOPE_TOLERANCES = {torch.float64: 1e-9, torch.float32: 5e-8}
_FINE = 0.1
"""Part of these that the slopes of fine tables may deviate."""

_EXPANDED_PAIRS = 10
"""Largest number of pairs whose functions decide which few functions span those of the first layer."""


@dataclass(frozen=True)
class TableRadials:
    """Radial functions from a table, as the kernel takes it."""

    table: RadialTable
    coefficients: Tensor
    expansion: Tensor | None = None  # of the layer's radial functions in those of the table


@dataclass(frozen=True)
class PairRadials:
    """Radial functions from tables of pairs of elements.

    Attributes
    ----------
    layout
        From coefficients (n_tables, n_intervals, n_functions, degree + 1) to the order of the kernel.
    """

    table: PairTable
    layout: Callable[[Tensor], Tensor]
    expansion: Tensor | None = None

    def pair_tables(self, pairs: Tensor) -> Tensor:
        """Return the tables of pairs of elements (n_tables,) in the order of the kernel, shape (n_tables, n_values)."""
        return self.layout(self.table.coefficients(pairs))


@dataclass(frozen=True)
class NetworkRadials:
    """Radial functions from the trained network, as the kernels take it.

    Attributes
    ----------
    last
        Matrix after the hidden layers; None where the sum is over the hidden functions.
    """

    shape: NetworkShape
    cutoff: float
    wave_numbers: Tensor
    matrices: Tensor
    last: Tensor | None


@dataclass(frozen=True)
class FunctionRadials:
    """Radial functions from another network or basis, in torch.

    Attributes
    ----------
    functions
        From distances (n_edges,) in angstrom and pairs of elements to the hidden functions, padded to whole vectors.
    last
        As in `NetworkRadials`.
    """

    functions: Callable[[Tensor, Tensor | None], Tensor]
    last: Tensor | None

    def values(self, vectors: Tensor, pairs: Tensor | None) -> Tensor:
        """Return the functions of every edge."""
        return self.functions(vectors.square().sum(dim=1).sqrt(), pairs)

    def with_slopes(self, vectors: Tensor, pairs: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the functions of every edge and their derivatives in 1/angstrom."""
        with torch.enable_grad():
            distances = vectors.square().sum(dim=1).sqrt().requires_grad_(True)
            values = self.functions(distances, pairs)
            # the gradient of the weighted sum is linear in the weights (torch.func.jvp cannot be exported)
            weights = torch.ones_like(values, requires_grad=True)
            (gradients,) = torch.autograd.grad(values, distances, weights, create_graph=True)
            (slopes,) = torch.autograd.grad(gradients, weights, torch.ones_like(gradients))
        return values.detach(), slopes


@dataclass(frozen=True)
class NeighbourSum:
    """The sum over neighbours of one layer.

    Attributes
    ----------
    message
        The linear map of the message, after the sum.
    n_components
        Of the sum.
    """

    shape: ConvolutionShape | MomentsShape
    radials: TableRadials | PairRadials | NetworkRadials | FunctionRadials
    message: tuple[LinearBlock, ...]
    n_components: int


def sum_on_table(
    t: int, layer: LoweredLayer, model: LoweredModel, dtype: torch.dtype, kinds: PairKinds, is_fine: bool = False
) -> NeighbourSum:
    """Return the sum over neighbours of layer ``t`` with a table of its radial functions.

    Raises
    ------
    TableError
        If there is no table.
    """
    plan, tolerance = _sum_on_pair_tables if model.has_pair_functions else _sum_on_one_table, SLOPE_TOLERANCES[dtype]
    if is_fine:
        with suppress(TableError):
            return plan(t, layer, model, dtype, kinds, _FINE * tolerance)
    return plan(t, layer, model, dtype, kinds, tolerance)


def _sum_on_one_table(
    t: int, layer: LoweredLayer, model: LoweredModel, dtype: torch.dtype, kinds: PairKinds, tolerance: float
) -> NeighbourSum:
    """Do this with a table for all pairs of elements."""
    hidden, matrix = hidden_functions(model, layer.radial)
    table = tabulate(hidden, matrix, model.cutoff, tolerance, dtype.itemsize, kinks=model.radial.kinks)
    if _may_have_moments(layer, model):
        reduced, expansion = reduce_table(table, tolerance, _multiple(dtype))
        if _has_cheaper_moments(layer, model, table.degree, expansion.shape[1]):
            shape = _moments(t, model, dtype, expansion.shape[1], FromTable(reduced.degree))
            radials = TableRadials(reduced, shape.table_layout(reduced.coefficients.unsqueeze(0)), expansion)
            return NeighbourSum(shape, radials, moment_blocks(layer, expansion), shape.n_harmonics)
    shape = _convolution(t, layer, model, dtype, FromTable(table.degree))
    radials = TableRadials(table, shape.table_layout(table.coefficients.unsqueeze(0)))
    return NeighbourSum(shape, radials, layer.message, layer.n_components_mid)


def _sum_on_pair_tables(
    t: int, layer: LoweredLayer, model: LoweredModel, dtype: torch.dtype, kinds: PairKinds, tolerance: float
) -> NeighbourSum:
    """Do this with tables of the pairs of elements of a run, which the sum takes as inputs."""
    hidden, last = layer.radial.split
    table = pair_table(model, hidden, last, kinds, tolerance, dtype.itemsize)
    source = FromTable(table.degree, len(kinds.pairs), has_pairs=True)
    if _may_have_moments(layer, model) and _has_cheaper_moments(layer, model, table.degree, _multiple(dtype)):
        some = torch.tensor(kinds.sample[:: -(-len(kinds.sample) // _EXPANDED_PAIRS)], dtype=torch.int64)
        _, expansion = reduce_table(table.tables(some, torch.float64), tolerance, _multiple(dtype))
        if _has_cheaper_moments(layer, model, table.degree, expansion.shape[1]):
            shape = _moments(t, model, dtype, expansion.shape[1], source)
            radials = PairRadials(replace(table, matrix=last @ expansion), shape.table_layout, expansion)
            return NeighbourSum(shape, radials, moment_blocks(layer, expansion), shape.n_harmonics)
    shape = _convolution(t, layer, model, dtype, source)
    return NeighbourSum(shape, PairRadials(table, shape.table_layout), layer.message, layer.n_components_mid)


def _may_have_moments(layer: LoweredLayer, model: LoweredModel) -> bool:
    """Whether the features of the neighbours are those of their elements."""
    return layer.embedding is not None and model.global_embedding is None


def _has_cheaper_moments(layer: LoweredLayer, model: LoweredModel, degree: int, n_functions: int) -> bool:
    n_elements, n_harmonics = layer.embedding.shape[0], (model.l_max + 1) ** 2
    return moments_are_cheaper(layer, degree, n_functions, n_elements, n_harmonics)


def _moments(
    t: int, model: LoweredModel, dtype: torch.dtype, n_functions: int, radials: FromTable | FromNetwork
) -> MomentsShape:
    return MomentsShape(f"Moments{t}", dtype, n_functions, len(model.atomic_numbers), model.l_max, radials)


def _multiple(dtype: torch.dtype) -> int:
    """Return what the number of functions of moments is a multiple of."""
    return 8 if dtype == torch.float64 else 16


def sum_on_network(
    t: int, layer: LoweredLayer, model: LoweredModel, dtype: torch.dtype, kinds: PairKinds
) -> NeighbourSum:
    """Return the sum over neighbours of layer ``t`` with the trained network on every edge."""
    if model.radial.is_plain and layer.radial.is_plain:
        network = NetworkShape.of(f"Network{t}", dtype, model.radial, layer)
        matrices, last = network.matrices(model.radial, layer)
        width = network.width
        radials = partial(NetworkRadials, network, model.cutoff, model.radial.parameters, matrices)
    else:
        hidden, last = layer.radial.split
        width = whole_vectors(last.shape[0], dtype)
        radials = partial(FunctionRadials, partial(_padded_functions, model, hidden, width, dtype))
    n_functions = last.shape[0]
    if _may_have_moments(layer, model):
        n_elements, n_harmonics = layer.embedding.shape[0], (model.l_max + 1) ** 2
        if network_moments_are_cheaper(layer, width, n_elements, n_harmonics):
            expansion = torch.nn.functional.pad(last.t(), (0, width - n_functions))
            shape = _moments(t, model, dtype, width, FromNetwork(n_functions, width, has_last_matrix=False))
            return NeighbourSum(shape, radials(last=None), moment_blocks(layer, expansion), n_harmonics)
    shape = _convolution(t, layer, model, dtype, FromNetwork(n_functions, width, has_last_matrix=True))
    return NeighbourSum(shape, radials(last=shape.last_matrix_layout(last)), layer.message, layer.n_components_mid)


def _padded_functions(
    model: LoweredModel,
    network: RadialNetwork,
    width: int,
    dtype: torch.dtype,
    distances: Tensor,
    pairs: Tensor | None,
) -> Tensor:
    """Return the results of a network and zeros, shape (n_edges, width); zero from the cutoff on."""
    values = radial_weights(model.radial, network, model.cutoff, distances, pairs, dtype)
    values = values * (distances < model.cutoff).to(dtype).unsqueeze(1)
    return torch.nn.functional.pad(values, (0, width - values.shape[1]))


def _convolution(
    t: int, layer: LoweredLayer, model: LoweredModel, dtype: torch.dtype, radials: FromTable | FromNetwork
) -> ConvolutionShape:
    return ConvolutionShape(
        name=f"Convolution{t}",
        dtype=dtype,
        n_channels=layer.n_edge_channels,
        n_components_in=layer.n_components_edge,
        n_components_mid=layer.n_components_mid,
        l_max=model.l_max,
        radials=radials,
        paths=layer.paths,
    )
