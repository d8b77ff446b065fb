"""The C++ kernels of a lowered model: shapes, tables and weights of every layer, behind ``LayerOperators``."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.kernels.backend import OperatorCode
from mlip_lammps.kernels.cpu.contraction import ContractionShape, contraction_terms
from mlip_lammps.kernels.cpu.convolution import ConvolutionShape
from mlip_lammps.kernels.cpu.library import KernelLibrary
from mlip_lammps.kernels.cpu.linear import LinearShape
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.simd import widest_vectors
from mlip_lammps.kernels.lowered import LinearBlock, LoweredLayer, LoweredModel
from mlip_lammps.kernels.moments import moment_blocks, moments_are_cheaper
from mlip_lammps.kernels.precision import PRECISIONS
from mlip_lammps.kernels.radial_functions import expanded, hidden_functions, table_record
from mlip_lammps.kernels.radial_table import RadialTable, reduce_table, tabulate
from mlip_lammps.model_file.contract import KERNELS_PATH

# Bound on the relative error of the radial slopes, for each type of features.
SLOPE_TOLERANCES = {torch.float64: 1e-9, torch.float32: 5e-8}

@dataclass(frozen=True)
class NeighbourSum:
    """The sum over neighbours of one layer: an operator with its table."""

    shape: ConvolutionShape | MomentsShape
    table: RadialTable
    coefficients: Tensor
    expansion: Tensor | None = None  # of the layer's radial functions in those of the table

    def radial_functions(self, distances: Tensor) -> Tensor:
        return expanded(self.table.evaluate(distances), self.expansion)

    @property
    def table_arguments(self) -> tuple[Tensor, float, int]:
        return self.coefficients, self.table.n_intervals / self.table.cutoff, self.table.n_intervals


@dataclass(frozen=True)
class LinearMap:
    """A linear map: its shape, matrices and those of the adjoint."""

    shape: LinearShape
    matrices: tuple[Tensor, Tensor]


class CpuOperators:
    """``LayerOperators`` in C++, with tables of the radial functions.

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

    def compile(self) -> None:
        _ = self.library

    def code(self) -> OperatorCode:
        record = {
            "radial": "table",
            "radial_tables": table_record(self.tables),
            "instruction_set": widest_vectors().instruction_set,
        }
        return OperatorCode({KERNELS_PATH: self.library.path}, record, self.library.shims(), self.table_contents())

    def table_contents(self) -> list[tuple[float, Tensor, Tensor | None]]:
        """Return, for each layer, what ``interpolated`` takes: coefficients as the kernels have them."""
        return [
            (step.table.cutoff, step.table.coefficients.to(self._dtype).to(torch.float64), step.expansion)
            for step in self.sums
        ]

    def messages(
        self, t: int, features: Tensor | None, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor
    ) -> Tensor:
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
        shape, weights = self.contractions[t - 1]
        return self._operator(shape)(messages.contiguous(), species, weights)

    def linear(self, kind: str, t: int, features: Tensor, species: Tensor) -> Tensor:
        """Return the linear map ``message``, ``mix``, ``up`` or ``skip`` of layer ``t``."""
        entry = self.maps[kind, t]
        return self._operator(entry.shape)(features.contiguous(), species, *entry.matrices)

    def _operator(self, shape):
        return self.library.operators[shape.name]

    def _plan_messages(self, t: int, layer: LoweredLayer, model: LoweredModel) -> None:
        tolerance = SLOPE_TOLERANCES[self._dtype]
        hidden, matrix = hidden_functions(model, layer)
        table = tabulate(hidden, matrix, model.cutoff, tolerance, self._dtype.itemsize)
        n_components_in = layer.n_components_mid
        blocks = layer.message
        if layer.embedding is not None:
            multiple = 8 if self._dtype == torch.float64 else 16
            reduced, expansion = reduce_table(table, tolerance, multiple)
            n_functions, n_elements = expansion.shape[1], layer.embedding.shape[0]
            n_harmonics = (model.l_max + 1) ** 2
            if moments_are_cheaper(layer, table, reduced, n_elements, n_harmonics):
                shape = MomentsShape(
                    f"Moments{t}", self._dtype, n_functions, n_elements, model.l_max, reduced.degree
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
            l_max=model.l_max,
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


def make_operators(model: LoweredModel, dtype: str, scratch: Path) -> CpuOperators:
    """Return the operators; their library is compiled into ``scratch``."""
    return CpuOperators(model, PRECISIONS[dtype].features, scratch)
