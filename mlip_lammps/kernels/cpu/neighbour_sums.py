"""The sum over neighbours of a layer: which operator does it, and where it has its radial functions from."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.kernels.cpu.convolution import ConvolutionShape
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.network import NetworkShape
from mlip_lammps.kernels.cpu.radials import FromNetwork, FromTable
from mlip_lammps.kernels.lowered import LinearBlock, LoweredLayer, LoweredModel
from mlip_lammps.kernels.moments import moment_blocks, moments_are_cheaper, network_moments_are_cheaper
from mlip_lammps.kernels.radial_functions import PairTables, hidden_functions
from mlip_lammps.kernels.radial_table import RadialTable, reduce_table, tabulate

# Bound on the relative error of the radial slopes, for each type of features.
SLOPE_TOLERANCES = {torch.float64: 1e-9, torch.float32: 5e-8}

MOST_TABLE_BYTES = 256 << 20
"""Largest size of the tables of all pairs of elements. Far smaller ones no longer fit the last cache level."""
_TYPICAL_NUMBERS = 640
"""Coefficients of one function: 64 intervals of degree 9."""


@dataclass(frozen=True)
class TableRadials:
    """Radial functions from a table, as the kernel takes it."""

    table: RadialTable
    coefficients: Tensor
    expansion: Tensor | None = None  # of the layer's radial functions in those of the table


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
    radials: TableRadials | NetworkRadials
    message: tuple[LinearBlock, ...]
    n_components: int


def require_small_tables(model: LoweredModel, dtype: torch.dtype) -> None:
    """Raise if the radial functions depend on too many pairs of elements for tables.

    Raises
    ------
    UserInputError
        If the tables would be larger than ``MOST_TABLE_BYTES``.
    """
    n_tables, n_elements = len(PairTables.of(model).pairs), len(model.atomic_numbers)
    n_functions = sum(len(layer.paths) * layer.n_edge_channels for layer in model.layers if layer.embedding is None)
    size = n_tables * n_functions * _TYPICAL_NUMBERS * dtype.itemsize
    if n_tables > 1 and size > MOST_TABLE_BYTES:
        raise UserInputError(
            f"the radial tables of {n_elements} elements ({n_tables} kinds of pairs) would take about "
            f"{size / 1e6:,.0f} MB (limit {MOST_TABLE_BYTES / 1e6:,.0f} MB); name the elements of the simulation with "
            "--elements, or export with --radial exact, which is slow"
        )


def sum_on_table(
    t: int, layer: LoweredLayer, model: LoweredModel, dtype: torch.dtype, pairs: PairTables
) -> NeighbourSum:
    """Return the sum over neighbours of layer ``t`` with a table of its radial functions.

    Raises
    ------
    TableError
        If there is no table.
    """
    tolerance = SLOPE_TOLERANCES[dtype]
    hidden = [hidden_functions(model, layer.radial, pair)[0] for pair in pairs.pairs]
    matrix, kinks = layer.radial.split[1], model.radial.kinks
    table = tabulate(hidden, matrix, model.cutoff, tolerance, dtype.itemsize, kinks=kinks)
    if layer.embedding is not None and model.global_embedding is None:
        reduced, expansion = reduce_table(table, tolerance, 8 if dtype == torch.float64 else 16)
        n_elements, n_harmonics = layer.embedding.shape[0], (model.l_max + 1) ** 2
        if moments_are_cheaper(layer, table, reduced, n_elements, n_harmonics):
            source = FromTable(reduced.degree, reduced.n_tables)
            shape = MomentsShape(f"Moments{t}", dtype, expansion.shape[1], n_elements, model.l_max, source)
            radials = TableRadials(reduced, shape.table_layout(reduced.coefficients), expansion)
            return NeighbourSum(shape, radials, moment_blocks(layer, expansion), n_harmonics)
    shape = _convolution(t, layer, model, dtype, FromTable(table.degree, table.n_tables))
    radials = TableRadials(table, shape.table_layout(table.coefficients))
    return NeighbourSum(shape, radials, layer.message, layer.n_components_mid)


def sum_on_network(
    t: int, layer: LoweredLayer, model: LoweredModel, dtype: torch.dtype, pairs: PairTables
) -> NeighbourSum:
    """Return the sum over neighbours of layer ``t`` with the trained network on every edge."""
    network = NetworkShape.of(f"Network{t}", dtype, model.radial, layer)
    matrices, last = network.matrices(model.radial, layer)
    constants = network, model.cutoff, model.radial.parameters, matrices
    if layer.embedding is not None and model.global_embedding is None:
        n_elements, n_harmonics = layer.embedding.shape[0], (model.l_max + 1) ** 2
        if network_moments_are_cheaper(layer, network.width, n_elements, n_harmonics):
            expansion = torch.nn.functional.pad(last.t(), (0, network.width - network.n_functions))
            source = FromNetwork(network.n_functions, network.width, has_last_matrix=False)
            shape = MomentsShape(f"Moments{t}", dtype, network.width, n_elements, model.l_max, source)
            radials = NetworkRadials(*constants, last=None)
            return NeighbourSum(shape, radials, moment_blocks(layer, expansion), n_harmonics)
    shape = _convolution(t, layer, model, dtype, FromNetwork(network.n_functions, network.width, has_last_matrix=True))
    radials = NetworkRadials(*constants, shape.last_matrix_layout(last))
    return NeighbourSum(shape, radials, layer.message, layer.n_components_mid)


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
