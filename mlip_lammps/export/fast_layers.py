"""The C++ kernels of a lowered model: shapes, tables and weights of every layer, behind a few calls."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.export.lowered import LoweredLayer, LoweredModel
from mlip_lammps.kernels.cpu_contraction import ContractionShape, contraction_terms
from mlip_lammps.kernels.cpu_convolution import ConvolutionShape
from mlip_lammps.kernels.cpu_library import KernelLibrary
from mlip_lammps.kernels.cpu_linear import LinearShape
from mlip_lammps.kernels.cpu_moments import MomentsShape
from mlip_lammps.kernels.linear import LinearBlock, irrep_linear
from mlip_lammps.kernels.radial import radial_weights
from mlip_lammps.kernels.radial_table import RadialTable, reduce_table, tabulate

# Bound on the relative error of the radial slopes, for each type of features.
SLOPE_TOLERANCES = {torch.float64: 1e-9, torch.float32: 5e-8}

# What a multiply-add over edges costs, beside one in a product of matrices; neighbours of a typical atom.
_EDGE_COST = 3.0
_TYPICAL_NEIGHBOURS = 40


@dataclass(frozen=True)
class NeighbourSum:
    """The sum over neighbours of one layer: an operator with its table."""

    shape: ConvolutionShape | MomentsShape
    table: RadialTable
    coefficients: Tensor
    expansion: Tensor | None = None  # of the layer's radial functions in those of the table

    def radial_functions(self, distances: Tensor) -> Tensor:
        return _expanded(self.table.evaluate(distances), self.expansion)

    @property
    def table_arguments(self) -> tuple[Tensor, float, int]:
        return self.coefficients, self.table.n_intervals / self.table.cutoff, self.table.n_intervals


@dataclass(frozen=True)
class LinearMap:
    """A linear map: its shape, matrices and those of the adjoint."""

    shape: LinearShape
    matrices: tuple[Tensor, Tensor]


class CpuKernels:
    """What the layers call in place of the torch forms of their hot operations.

    Attributes
    ----------
    library
        The compiled operators.
    sums, contractions
        For each layer.
    maps
        By kind (message, mix, up, skip) and layer.
    tables
        Radial table of each layer, with its errors.
    """

    def __init__(self, model: LoweredModel, features: torch.dtype, folder: Path):
        self._dtype = features
        self.sums: list[NeighbourSum] = []
        self.maps: dict[tuple[str, int], LinearMap] = {}
        self.contractions: list[tuple[ContractionShape, Tensor]] = []
        for t, layer in enumerate(model.layers, start=1):
            self._plan_messages(t, layer, model)
            self._plan_map("mix", t, layer.mix, layer.n_components_out, layer.n_components_out)
            if layer.embedding is None:
                before = layer.n_components_in
                self._plan_map("up", t, layer.up, before, before)
                self._plan_map("skip", t, layer.skip, before, layer.n_components_out)
            name = f"Contraction{t}"
            sizes = layer.n_components_message, layer.n_components_out
            self.contractions.append(contraction_terms(name, features, layer.polynomial, *sizes))
        self._folder = folder
        self.tables = tuple(s.table for s in self.sums)

    @cached_property
    def library(self) -> KernelLibrary:
        """All operators, compiled when they are first asked for."""
        shapes = [s.shape for s in self.sums] + [m.shape for m in self.maps.values()]
        shapes += [shape for shape, _ in self.contractions]
        return KernelLibrary(shapes, self._folder)

    def radial_functions(self) -> list[Callable[[Tensor], Tensor]]:
        """Return, for each layer, the weights of its convolution as the tables give them."""
        return [step.radial_functions for step in self.sums]

    def table_contents(self) -> list[tuple[float, Tensor, Tensor | None]]:
        """Return, for each layer, what ``interpolated`` takes: coefficients as the kernels have them."""
        return [
            (step.table.cutoff, step.table.coefficients.to(self._dtype).to(torch.float64), step.expansion)
            for step in self.sums
        ]

    def table_record(self) -> list[dict[str, float]]:
        """Return, for each layer, what the metadata says of its radial table."""
        return table_record(self.tables)

    def messages(
        self, t: int, features: Tensor | None, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor
    ) -> Tensor:
        """Return the messages of layer ``t`` after their linear map, shape (n_local, message width).

        Parameters
        ----------
        features
            Of the sources, after the map ``up``, shape (n_sources, n_in * n_channels).
        source
            Row of the features for each edge, shape (n_edges,): in the first layer the species.
        """
        received = self.received(t, features, vectors, centre, source, centre_species)
        return self.linear("message", t, received, centre_species)

    def received(
        self, t: int, features: Tensor | None, vectors: Tensor, centre: Tensor, source: Tensor, like: Tensor
    ) -> Tensor:
        """Return the sum over the neighbours alone, flat."""
        step = self.sums[t - 1]
        edges = (vectors, centre, source, *step.table_arguments, like)
        if isinstance(step.shape, MomentsShape):
            return self._operator(step.shape)(*edges)
        return self._operator(step.shape)(features.contiguous(), *edges)

    def contract(self, t: int, messages: Tensor, species: Tensor) -> Tensor:
        """Return the products of layer ``t``, shape (n_local, n_out * n_channels)."""
        shape, weights = self.contractions[t - 1]
        return self._operator(shape)(messages.contiguous(), species, weights)

    def linear(self, kind: str, t: int, features: Tensor, species: Tensor) -> Tensor:
        """Return a linear map of layer ``t`` (message, mix, up or skip) of flat features."""
        entry = self.maps[kind, t]
        return self._operator(entry.shape)(features.contiguous(), species, *entry.matrices)

    def _operator(self, shape):
        return self.library.operators[shape.name]

    def _plan_messages(self, t: int, layer: LoweredLayer, model: LoweredModel) -> None:
        tolerance = SLOPE_TOLERANCES[self._dtype]
        hidden, matrix = hidden_functions(model, layer)
        table = tabulate(hidden, matrix, model.spec.cutoff, tolerance, self._dtype.itemsize)
        n_components_in = layer.n_components_mid
        blocks = layer.message
        if layer.embedding is not None:
            multiple = 8 if self._dtype == torch.float64 else 16
            reduced, expansion = reduce_table(table, tolerance, multiple)
            n_functions, n_elements = expansion.shape[1], layer.embedding.shape[0]
            n_harmonics = (model.spec.l_max + 1) ** 2
            if moments_are_cheaper(layer, table, reduced, n_elements, n_harmonics):
                shape = MomentsShape(
                    f"Moments{t}", self._dtype, n_functions, n_elements, model.spec.l_max, reduced.degree
                )
                self.sums.append(NeighbourSum(shape, reduced, shape.table_layout(reduced.coefficients), expansion))
                self._plan_map("message", t, moment_blocks(layer, expansion), n_harmonics, layer.n_components_message)
                return
        shape = ConvolutionShape(
            name=f"Convolution{t}",
            dtype=self._dtype,
            n_channels=layer.n_channels,
            n_components_in=layer.n_components_in,
            n_components_mid=n_components_in,
            l_max=model.spec.l_max,
            degree=table.degree,
            paths=layer.paths,
        )
        self.sums.append(NeighbourSum(shape, table, shape.table_layout(table.coefficients)))
        self._plan_map("message", t, blocks, n_components_in, layer.n_components_message)

    def _plan_map(
        self, kind: str, t: int, blocks: tuple[LinearBlock, ...], n_components_in: int, n_components_out: int
    ) -> None:
        if blocks:
            name = f"{kind.capitalize()}{t}"
            shape = LinearShape.of(name, self._dtype, blocks, n_components_in, n_components_out)
            self.maps[kind, t] = LinearMap(shape, shape.matrices(blocks))


def table_record(tables: Sequence[RadialTable]) -> list[dict[str, float]]:
    """Return, for each table, what the metadata says of it."""
    return [
        {
            "n_intervals": table.n_intervals,
            "degree": table.degree,
            "n_functions": table.coefficients.shape[1],
            "value_error": table.value_error,
            "slope_error": table.slope_error,
        }
        for table in tables
    ]


def interpolated(tables: list[tuple[float, Tensor, Tensor | None]]) -> list[Callable[[Tensor], Tensor]]:
    """Return, for each layer, the weights of its convolution from the cutoff, coefficients and expansion of a table."""

    def of_layer(cutoff: float, coefficients: Tensor, expansion: Tensor | None) -> Callable[[Tensor], Tensor]:
        table = RadialTable(coefficients, cutoff, 0.0, 0.0)
        return lambda distances: _expanded(table.evaluate(distances), expansion)

    return [of_layer(*entry) for entry in tables]


def _expanded(values: Tensor, expansion: Tensor | None) -> Tensor:
    return values if expansion is None else values @ expansion.t()


def radial_functions(model: LoweredModel, layer: LoweredLayer):
    """Return the radial weights of a layer as a function of distances (n,), shape (n, n_paths * n_channels)."""
    radial = model.spec.radial

    def functions(distances: Tensor) -> Tensor:
        return radial_weights(
            distances,
            model.wave_numbers,
            model.radial_prefactor,
            model.spec.cutoff,
            radial.cutoff_power,
            radial.cutoff_on == "basis",
            layer.radial_matrices,
            layer.radial_activation_scale,
        )

    return functions


def hidden_functions(model: LoweredModel, layer: LoweredLayer) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return the last hidden layer as a function of distances, and the matrix that turns it into the weights."""
    *before, last = layer.radial_matrices
    unit = torch.eye(last.shape[0], dtype=last.dtype)
    return radial_functions(model, replace(layer, radial_matrices=(*before, unit))), last


def moments_are_cheaper(
    layer: LoweredLayer, table: RadialTable, reduced: RadialTable, n_elements: int, n_harmonics: int
) -> bool:
    """Compare the cost for an atom: channels on every edge, or few functions on every edge and a larger product."""
    n_functions = reduced.coefficients.shape[1]
    full = len(layer.paths) * (table.degree + 1) + n_harmonics
    direct = _EDGE_COST * _TYPICAL_NEIGHBOURS * full * layer.n_channels + n_harmonics * layer.n_channels**2
    edges = _EDGE_COST * _TYPICAL_NEIGHBOURS * (reduced.degree + 1 + n_harmonics) * n_functions
    return edges + n_elements * n_functions * n_harmonics * layer.n_channels < direct


def moment_blocks(layer: LoweredLayer, expansion: Tensor) -> tuple[LinearBlock, ...]:
    """Fold element features, radial expansion, coupling and the map of the message into one matrix for each order."""
    n_channels = layer.n_channels
    # (n_elements, n_channels): features of each element as the convolution sees them
    sources = irrep_linear(layer.embedding, layer.up, layer.n_components_in)[:, 0]
    by_path = expansion.view(len(layer.paths), n_channels, -1)
    blocks = []
    for block in layer.message:
        matrix = 0.0
        for number, path in enumerate(layer.paths):
            if path.out_start - block.in_start not in range(block.in_copies) or path.l_out != (block.dim - 1) // 2:
                continue
            copy = path.out_start - block.in_start
            rows = block.matrix[..., copy * n_channels : (copy + 1) * n_channels, :]
            # the element's scalar times Y_lm gives Y_lm: the coupling is a multiple of the unit matrix
            strength = path.coupling[0, 0, 0]
            part = strength * torch.einsum("zk,kb,...kc->...zbc", sources, by_path[number], rows)
            matrix = matrix + part.flatten(-3, -2)
        order = (block.dim - 1) // 2
        blocks.append(LinearBlock(order**2, 1, block.out_start, block.dim, matrix))
    return tuple(blocks)
