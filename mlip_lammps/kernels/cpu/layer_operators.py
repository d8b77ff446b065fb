"""The C++ kernels of a lowered model: shapes, tables and weights of every layer, behind ``LayerOperators``."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.contraction import ContractionShape, contraction_terms
from mlip_lammps.kernels.cpu.density import DensityTable, density_table
from mlip_lammps.kernels.cpu.library import LibraryOperators, Shape
from mlip_lammps.kernels.cpu.linear import LinearShape
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.neighbour_sums import (
    FunctionRadials,
    NeighbourSum,
    NetworkRadials,
    PairRadials,
    TableRadials,
    sum_on_network,
    sum_on_table,
)
from mlip_lammps.kernels.lowered import LinearBlock, LoweredModel
from mlip_lammps.kernels.operators import OperatorCode, TableInput
from mlip_lammps.kernels.pair_tables import PairKinds, PairTable, TabulatedPairs, pair_record
from mlip_lammps.kernels.precision import PRECISIONS
from mlip_lammps.kernels.radial_functions import TabulatedLayer, table_record
from mlip_lammps.kernels.radial_table import RadialTable
from mlip_lammps.kernels.torch.layer_operators import TorchOperators
from mlip_lammps.model_file.contract import DENSITY_TABLE, FINE_TABLE, RADIAL_TABLE, TABLE_OF_PAIR

_EXACT_CHUNK_ATOMS = 64
"""Centres of one call where the network runs: the hidden functions of their edges stay near the second cache level."""


@dataclass(frozen=True)
class LinearMap:
    """A linear map: its shape, matrices and those of the adjoint."""

    shape: LinearShape
    matrices: tuple[Tensor, Tensor]


class CpuOperators(LibraryOperators):
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
    has_pair_tables
        Whether they are tables of pairs of elements.
    """

    def __init__(self, model: LoweredModel, features: torch.dtype, folder: Path, radial: str = "table"):
        super().__init__(folder)
        self._model = model
        self._dtype = features
        self._chunk_atoms = model.chunk_atoms()
        plan = sum_on_network if radial == "exact" else partial(sum_on_table, is_fine=radial == FINE_TABLE)
        self._kinds = PairKinds.of(model)
        self._densities: dict[int, DensityTable] = {}
        self.sums: list[NeighbourSum] = []
        self.maps: dict[tuple[str, int], LinearMap] = {}
        self.contractions: list[tuple[ContractionShape, Tensor]] = []  # none in gated convolutions
        for t, layer in enumerate(model.layers, start=1):
            step = plan(t, layer, model, features, self._kinds)
            self.sums.append(step)
            if layer.density is not None and radial != "exact":
                self._densities[t] = density_table(t, layer, model, self._kinds)
            self._plan_map("message", t, step.message, step.n_components, layer.n_components_ungated)
            for kind in layer.linear_kinds:
                self._plan_map(kind, t, *layer.linear_map(kind))
            if layer.is_gated_convolution:
                continue
            name = f"Contraction{t}"
            sizes = layer.n_components_message, layer.n_components_out
            self.contractions.append(contraction_terms(name, features, layer.polynomial, *sizes))
        on_tables = [s.radials for s in self.sums if isinstance(s.radials, TableRadials | PairRadials)]
        self.tables = tuple(radials.table for radials in on_tables)
        self.has_pair_tables = any(isinstance(radials, PairRadials) for radials in on_tables)

    @property
    def shapes(self) -> list[Shape]:
        shapes = [s.shape for s in self.sums] + [m.shape for m in self.maps.values()]
        shapes += [s.radials.shape for s in self.sums if isinstance(s.radials, NetworkRadials)]
        shapes += [shape for shape, _ in self.contractions]
        return shapes + [density.shape for density in self._densities.values()]

    def code(self) -> OperatorCode:
        return replace(super().code(), tables=self.tabulated())

    def record(self) -> dict[str, Any]:
        if self.tables:
            return {"radial": "table"} | self._table_record()
        return {"radial": "exact", "chunk_atoms": min(self._chunk_atoms, _EXACT_CHUNK_ATOMS)}

    def _table_record(self) -> dict[str, Any]:
        if not self.has_pair_tables:
            return {"radial_tables": table_record(self.tables)}
        inputs = [one for t in range(1, len(self.sums) + 1) for one in self.table_inputs(t)]
        described = [
            {"name": one.name, "n_values": one.n_values, "value_bytes": one.dtype.itemsize} for one in inputs
        ]
        kinds = {"pairs": list(self._kinds.pairs), "kind_of_pair": self._kinds.kind_of_pair.tolist()}
        return {
            "radial_tables": pair_record(self.tables, self._kinds),
            "pair_tables": {"tables": described, **kinds},
        }

    def tabulated(self) -> list[TabulatedLayer | TabulatedPairs] | None:
        """Return the tabulated convolution weights of each layer, with the rounding of the kernels; None without."""
        if not self.tables:
            return None

        def of_layer(radials: TableRadials | PairRadials) -> TabulatedLayer | TabulatedPairs:
            if isinstance(radials, PairRadials):
                return TabulatedPairs(radials.table, radials.expansion, self._kinds, self._dtype)
            rounded = radials.table.coefficients.to(self._dtype).to(torch.float64)
            return TabulatedLayer(replace(radials.table, coefficients=rounded), radials.expansion)

        return [of_layer(step.radials) for step in self.sums]

    def table_inputs(self, t: int) -> tuple[TableInput, ...]:
        one = torch.zeros(1, dtype=torch.int64)
        return tuple(TableInput(name, table.shape[1], table.dtype) for name, table in self.pair_tables(t, one).items())

    def pair_tables(self, t: int, pairs: Tensor) -> dict[str, Tensor]:
        if not self.has_pair_tables:
            return {}
        found = {f"{RADIAL_TABLE}{t}": self.sums[t - 1].radials.pair_tables(pairs)}
        if t in self._densities:
            found[f"{DENSITY_TABLE}{t}"] = self._densities[t].pair_tables(pairs)
        return found

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
        tables: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        received = self.received(t, features, vectors, centre, source, centre_species, pairs, tables)
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
        tables: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the sum over the neighbours alone, flat."""
        step = self.sums[t - 1]
        edges = (vectors, centre, source, *self._radial_arguments(t, step.radials, vectors, pairs, tables), like)
        if isinstance(step.shape, MomentsShape):
            return self._operator(step.shape)(*edges)
        return self._operator(step.shape)(features.contiguous(), *edges)

    def density(
        self,
        t: int,
        vectors: Tensor,
        centre: Tensor,
        centre_species: Tensor,
        pairs: Tensor | None = None,
        tables: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        if t not in self._densities:
            plain = TorchOperators(self._model, "float64" if self._dtype == torch.float64 else "mixed")
            return plain.density(t, vectors, centre, centre_species, pairs)
        entry = self._densities[t]
        if entry.coefficients is None:
            table = self._pair_arguments(f"{DENSITY_TABLE}{t}", entry.table, pairs, tables)
        else:
            table = _table_arguments(entry.table, entry.coefficients)
        return self._operator(entry.shape)(vectors, centre, *table, centre_species).to(self._dtype).squeeze(1)

    def contract(self, t: int, messages: Tensor, species: Tensor) -> Tensor:
        shape, weights = self.contractions[t - 1]
        return self._operator(shape)(messages.contiguous(), species, weights)

    def linear(self, kind: str, t: int, features: Tensor, species: Tensor) -> Tensor:
        """Return the linear map ``message``, or another one of ``LoweredLayer.linear_map``."""
        entry = self.maps[kind, t]
        return self._operator(entry.shape)(features.contiguous(), species, *entry.matrices)

    def _radial_arguments(
        self,
        t: int,
        radials: TableRadials | PairRadials | NetworkRadials | FunctionRadials,
        vectors: Tensor,
        pairs: Tensor | None,
        tables: Mapping[str, Tensor] | None,
    ) -> tuple[Tensor | float | int, ...]:
        """Return what the sum over neighbours takes besides its edges.

        The gradient of the edge vectors needs slopes of the radial functions: nothing goes back through the network.
        """
        if isinstance(radials, TableRadials):
            return _table_arguments(radials.table, radials.coefficients)
        if isinstance(radials, PairRadials):
            return self._pair_arguments(f"{RADIAL_TABLE}{t}", radials.table, pairs, tables)
        if isinstance(radials, FunctionRadials):
            network, arguments = radials, (vectors.detach(), pairs)
        else:
            network = self._operator(radials.shape)
            arguments = vectors.detach(), radials.wave_numbers, radials.cutoff, radials.matrices
        if vectors.requires_grad:
            values, slopes = network.with_slopes(*arguments)
        else:
            values = slopes = network.values(*arguments)
        return (values, slopes) if radials.last is None else (values, slopes, radials.last)

    def _pair_arguments(
        self, name: str, table: PairTable, pairs: Tensor, tables: Mapping[str, Tensor] | None
    ) -> tuple[Tensor | float | int, ...]:
        given = tables or self._all_tables
        return (*_table_arguments(table, given[name]), given[TABLE_OF_PAIR].index_select(0, pairs))

    @cached_property
    def _all_tables(self) -> dict[str, Tensor]:
        """Tables of all kinds of pairs, for calls from Python."""
        pairs = torch.tensor(self._kinds.pairs, dtype=torch.int64)
        found = {TABLE_OF_PAIR: self._kinds.kind_of_pair}
        for t in range(1, len(self.sums) + 1):
            found |= self.pair_tables(t, pairs)
        return found

    def _operator(self, shape):
        return self.library.operators[shape.name]

    def _plan_map(
        self, kind: str, t: int, blocks: tuple[LinearBlock, ...], n_components_in: int, n_components_out: int
    ) -> None:
        if blocks:
            name = f"{kind.capitalize()}{t}"
            shape = LinearShape.of(name, self._dtype, blocks, n_components_in, n_components_out)
            self.maps[kind, t] = LinearMap(shape, shape.matrices(blocks))


def _table_arguments(table: RadialTable | PairTable, coefficients: Tensor) -> tuple[Tensor | float | int, ...]:
    return coefficients, table.n_intervals / table.cutoff, table.n_intervals


def make_operators(model: LoweredModel, dtype: str, radial: str, scratch: Path) -> CpuOperators:
    """Return the operators; their library is compiled into ``scratch``."""
    return CpuOperators(model, PRECISIONS[dtype].features, scratch, radial)
