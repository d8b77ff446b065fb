"""The C++ kernels of a lowered model: shapes, tables and weights of every layer, behind ``LayerOperators``."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.kernels.backend import OperatorCode
from mlip_lammps.kernels.cpu.contraction import ContractionShape, contraction_terms
from mlip_lammps.kernels.cpu.density import DensityTable, density_table
from mlip_lammps.kernels.cpu.library import KernelLibrary
from mlip_lammps.kernels.cpu.linear import LinearShape
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.neighbour_sums import (
    NeighbourSum,
    NetworkRadials,
    TableRadials,
    sum_on_network,
    sum_on_table,
)
from mlip_lammps.kernels.cpu.simd import widest_vectors
from mlip_lammps.kernels.lowered import LinearBlock, LoweredModel
from mlip_lammps.kernels.precision import PRECISIONS
from mlip_lammps.kernels.radial_functions import PairTables, TabulatedLayer, table_record
from mlip_lammps.kernels.radial_table import RadialTable
from mlip_lammps.kernels.torch.layer_operators import TorchOperators
from mlip_lammps.model_file.contract import KERNELS_PATH

_EXACT_CHUNK_ATOMS = 64
"""Centres of one call where the network runs: the hidden functions of their edges stay near the second cache level."""


@dataclass(frozen=True)
class LinearMap:
    """A linear map: its shape, matrices and those of the adjoint."""

    shape: LinearShape
    matrices: tuple[Tensor, Tensor]


class CpuOperators:
    """``LayerOperators`` in C++.

    Parameters
    ----------
    radial
        ``table``: radial functions from tables; ``exact``: from the trained network on every edge.

    Attributes
    ----------
    library
        The compiled operators.
    sums, contractions
        For each layer.
    maps
        By kind (message, mix, up, ...) and layer.
    tables
        Radial table of each layer, with its errors; none where the network runs.
    """

    def __init__(self, model: LoweredModel, features: torch.dtype, folder: Path, radial: str = "table"):
        self._torch = TorchOperators(model, "float64" if features == torch.float64 else "mixed")
        self._dtype = features
        self._chunk_atoms = model.chunk_atoms()
        plan = {"table": sum_on_table, "exact": sum_on_network}[radial]
        self._pairs = PairTables.of(model)
        self._densities: dict[int, DensityTable] = {}
        self.sums: list[NeighbourSum] = []
        self.maps: dict[tuple[str, int], LinearMap] = {}
        self.contractions: list[tuple[ContractionShape, Tensor]] = []  # none in gated convolutions
        for t, layer in enumerate(model.layers, start=1):
            step = plan(t, layer, model, features, self._pairs)
            self.sums.append(step)
            if layer.density is not None and radial == "table":
                self._densities[t] = density_table(t, layer, model, self._pairs)
            self._plan_map("message", t, step.message, step.n_components, layer.n_components_ungated)
            for kind in layer.linear_kinds:
                self._plan_map(kind, t, *layer.linear_map(kind))
            if layer.is_gated_convolution:
                continue
            name = f"Contraction{t}"
            sizes = layer.n_components_message, layer.n_components_out
            self.contractions.append(contraction_terms(name, features, layer.polynomial, *sizes))
        self._folder = folder
        on_tables = [s.radials for s in self.sums if isinstance(s.radials, TableRadials)]
        self.tables = tuple(radials.table for radials in on_tables)

    @cached_property
    def library(self) -> KernelLibrary:
        """All operators, compiled when they are first asked for."""
        shapes = [s.shape for s in self.sums] + [m.shape for m in self.maps.values()]
        shapes += [s.radials.shape for s in self.sums if isinstance(s.radials, NetworkRadials)]
        shapes += [shape for shape, _ in self.contractions]
        shapes += [density.shape for density in self._densities.values()]
        return KernelLibrary(shapes, self._folder)

    def compile(self) -> None:
        _ = self.library

    def code(self) -> OperatorCode:
        record = {"instruction_set": widest_vectors().instruction_set}
        contents = self.tabulated()
        if contents is not None:
            record |= {"radial": "table", "radial_tables": table_record(self.tables)}
        else:
            record |= {"radial": "exact", "chunk_atoms": min(self._chunk_atoms, _EXACT_CHUNK_ATOMS)}
        return OperatorCode({KERNELS_PATH: self.library.path}, record, self.library.shims(), contents)

    def tabulated(self) -> list[TabulatedLayer] | None:
        """Return the tabulated convolution weights of each layer, with the rounding of the kernels; None without."""
        if not self.tables:
            return None

        def of_layer(radials: TableRadials) -> TabulatedLayer:
            rounded = radials.table.coefficients.to(self._dtype).to(torch.float64)
            return TabulatedLayer(replace(radials.table, coefficients=rounded), radials.expansion, self._pairs)

        return [of_layer(step.radials) for step in self.sums]

    def messages(
        self,
        t: int,
        features: Tensor | None,
        vectors: Tensor,
        centre: Tensor,
        source: Tensor,
        centre_species: Tensor,
        pairs: Tensor | None = None,
        scalars: Tensor | None = None,
    ) -> Tensor:
        received = self.received(t, features, vectors, centre, source, centre_species, pairs)
        return self.linear("message", t, received, centre_species)

    def received(
        self,
        t: int,
        features: Tensor | None,
        vectors: Tensor,
        centre: Tensor,
        source: Tensor,
        like: Tensor,
        pairs: Tensor | None = None,
    ) -> Tensor:
        """Return the sum over the neighbours alone, flat."""
        step = self.sums[t - 1]
        edges = (vectors, centre, source, *self._radial_arguments(step.radials, vectors, pairs), like)
        if isinstance(step.shape, MomentsShape):
            return self._operator(step.shape)(*edges)
        return self._operator(step.shape)(features.contiguous(), *edges)

    def density(
        self, t: int, vectors: Tensor, centre: Tensor, centre_species: Tensor, pairs: Tensor | None = None
    ) -> Tensor:
        if t not in self._densities:
            return self._torch.density(t, vectors, centre, centre_species, pairs)
        entry = self._densities[t]
        table = self._table_arguments(entry.table, entry.coefficients, pairs)
        return self._operator(entry.shape)(vectors, centre, *table, centre_species).to(self._dtype).squeeze(1)

    def contract(self, t: int, messages: Tensor, species: Tensor) -> Tensor:
        shape, weights = self.contractions[t - 1]
        return self._operator(shape)(messages.contiguous(), species, weights)

    def linear(self, kind: str, t: int, features: Tensor, species: Tensor) -> Tensor:
        """Return the linear map ``message``, or another one of ``LoweredLayer.linear_map``."""
        entry = self.maps[kind, t]
        return self._operator(entry.shape)(features.contiguous(), species, *entry.matrices)

    def _radial_arguments(
        self, radials: TableRadials | NetworkRadials, vectors: Tensor, pairs: Tensor | None
    ) -> tuple[Tensor | float | int, ...]:
        """Return what the sum over neighbours takes besides its edges.

        The gradient of the edge vectors needs slopes of the radial functions: nothing goes back through the network.
        """
        if isinstance(radials, TableRadials):
            return self._table_arguments(radials.table, radials.coefficients, pairs)
        network = self._operator(radials.shape)
        constants = vectors.detach(), radials.wave_numbers, radials.cutoff, radials.matrices
        if vectors.requires_grad:
            values, slopes = network.with_slopes(*constants)
        else:
            values = slopes = network.values(*constants)
        return (values, slopes) if radials.last is None else (values, slopes, radials.last)

    def _table_arguments(
        self, table: RadialTable, coefficients: Tensor, pairs: Tensor | None
    ) -> tuple[Tensor | float | int, ...]:
        arguments = coefficients, table.n_intervals / table.cutoff, table.n_intervals
        if table.n_tables == 1:
            return arguments
        return (*arguments, self._pairs.table_of_pair.index_select(0, pairs))

    def _operator(self, shape):
        return self.library.operators[shape.name]

    def _plan_map(
        self, kind: str, t: int, blocks: tuple[LinearBlock, ...], n_components_in: int, n_components_out: int
    ) -> None:
        if blocks:
            name = f"{kind.capitalize()}{t}"
            shape = LinearShape.of(name, self._dtype, blocks, n_components_in, n_components_out)
            self.maps[kind, t] = LinearMap(shape, shape.matrices(blocks))


def make_operators(model: LoweredModel, dtype: str, radial: str, scratch: Path) -> CpuOperators:
    """Return the operators; their library is compiled into ``scratch``."""
    return CpuOperators(model, PRECISIONS[dtype].features, scratch, radial)
