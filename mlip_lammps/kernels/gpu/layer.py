"""Forward and backward launches of one layer in the GPU plan of a model."""

from collections.abc import Callable

import torch
from torch import Tensor

from mlip_lammps.core.errors import TableError
from mlip_lammps.kernels.cpu.contraction import polynomial_terms
from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.gpu import shapes
from mlip_lammps.kernels.gpu.density import DensityPlan
from mlip_lammps.kernels.gpu.plan import EDGES, NULL, GpuPlan, edge_arguments, size
from mlip_lammps.kernels.gpu.products import LinearProducts
from mlip_lammps.kernels.gpu.readout import ReadoutPlan
from mlip_lammps.kernels.gpu.shapes import WARP
from mlip_lammps.kernels.gpu.steps import repulsion_arguments
from mlip_lammps.kernels.gpu.tables import table_arguments, table_parameters, tables_of_all_pairs
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.moments import moment_blocks, moments_are_cheaper
from mlip_lammps.kernels.pair_tables import PairKinds, pair_table
from mlip_lammps.kernels.radial_functions import hidden_functions
from mlip_lammps.kernels.radial_table import RadialTable, reduce_table, tabulate
from mlip_lammps.kernels.torch.linear import irrep_linear

_TABLES = {torch.float64: ((7, 1e-9), (9, 1e-9)), torch.float32: ((3, 5e-7), (7, 5e-8))}
"""Degree of the radial polynomials and bound on the relative error of their slopes; the second pair is for models for
which the first one is too coarse. Kernels read 16 bytes of coefficients at a time: fewer coefficients per interval are
faster, regardless of the number of intervals."""

_MOST_COARSE_INTERVALS = 4096
"""Of a table of the first degree; a model that needs more takes the second."""

_TILE_ATOMS = {torch.float64: (2, 1), torch.float32: (4, 2)}
"""Atoms per lane in a contraction, and in its adjoint."""


class LayerPlan:
    """Forward and backward launches of layer ``t`` (counted from 1)."""

    def __init__(self, plan: GpuPlan, model: LoweredModel, t: int):
        self.plan, self.model, self.t = plan, model, t
        self.layer = layer = model.layers[t - 1]
        self.is_last = t == len(model.layers)
        self.c_type = C_TYPES[plan.dtype]
        n = layer.n_channels
        self.slice_lanes = min(n, WARP)
        self.width_in, self.width_out = layer.n_components_in * n, layer.n_components_out * n
        width_message = layer.n_components_message * n
        self.kinds = PairKinds.of(model) if model.has_pair_functions else None
        self._plan_neighbour_sum()
        self.density = DensityPlan(plan, model, t, self.kinds) if layer.density is not None else None
        self._plan_contraction()
        self.mix = LinearProducts(plan, f"mix_{t}", layer.mix, n, self.width_out, self.width_out)
        self.message = LinearProducts(
            plan, f"message_{t}", self.message_blocks, self.width_component, self.width_received, width_message
        )
        self.readout = ReadoutPlan(plan, layer, t, self.is_last, model.energy_scale)
        widths = {"received": self.width_received, "messages": width_message}
        for name, width in (widths | {"products": self.width_out, "result": self.width_out}).items():
            plan.buffer(f"{name}_{t}", "local", width)
            plan.buffer(f"{name}_{t}_gradients", "local", width)
        self._plan_incoming()

    @property
    def has_pairs(self) -> bool:
        """Whether each pair of elements has a table of its own."""
        return self.kinds is not None

    def _plan_incoming(self) -> None:
        """Declare the inputs from the previous layer: neighbour features and the skip connection."""
        plan, layer, t = self.plan, self.layer, self.t
        if t > 1:
            plan.buffer(f"features_{t - 1}", "nodes", self.width_in)
            plan.buffer(f"feature_gradients_{t - 1}", "nodes", self.width_in)
            plan.buffer(f"skips_{t - 1}", "local", self.width_out)
            plan.buffer("rows", "edges", self.width_in)
            self.up = LinearProducts(plan, f"up_{t}", layer.up, layer.n_channels, self.width_in, self.width_in)
            self.skip = LinearProducts(plan, f"skip_{t}", layer.skip, layer.n_channels, self.width_in, self.width_out)
            return
        if not self.is_moments:
            sources = irrep_linear(layer.embedding, layer.up, layer.n_components_in)
            plan.weight("element_sources", sources.flatten(1))
            plan.buffer("element_features", "nodes", self.width_in)
        if layer.skip:
            rows = torch.arange(plan.n_elements)
            skips = irrep_linear(layer.embedding, layer.skip, layer.n_components_out, rows)
            plan.weight("element_skips", skips.flatten(1))

    def _plan_neighbour_sum(self) -> None:
        plan, layer, t, l_max = self.plan, self.layer, self.t, self.model.l_max
        table, tolerance = self._tabulate()
        self.is_moments, expansion = False, None
        if layer.embedding is not None:
            reduced, found = reduce_table(table, tolerance, WARP)
            if moments_are_cheaper(layer, table.degree, found.shape[1], plan.n_elements, (l_max + 1) ** 2):
                self.is_moments, table, expansion = True, reduced, found
        plan.tables.append((table, expansion, self.kinds))
        coefficients = self._plan_moments(table, expansion) if self.is_moments else self._plan_convolution(table)
        self.table = table_arguments(plan, f"table_{t}", coefficients, table, self.kinds)
        plan.buffer(f"partial_{t}", "edges", 4 * self.slices)
        self._add_sum_kernels()

    def _tabulate(self) -> tuple[RadialTable, float]:
        """Return the table of the radial functions and its tolerance."""
        hidden, matrix = hidden_functions(self.model, self.layer.radial)
        *coarse, (degree, tolerance) = _TABLES[self.plan.dtype]
        if coarse and not self.plan.has_fine_tables:
            try:
                table = self._table(hidden, matrix, *coarse[0])
            except TableError:
                table = None
            if table is not None and table.n_intervals <= _MOST_COARSE_INTERVALS:
                return table, coarse[0][1]
        return self._table(hidden, matrix, degree, tolerance), tolerance

    def _table(self, hidden: Callable[[Tensor], Tensor], matrix: Tensor, degree: int, tolerance: float) -> RadialTable:
        n_bytes = self.plan.dtype.itemsize
        if self.kinds is None:
            return tabulate(hidden, matrix, self.model.cutoff, tolerance, n_bytes, (degree,))
        network, last = self.layer.radial.split
        found = pair_table(self.model, network, last, self.kinds, tolerance, n_bytes, degrees=(degree,))
        return tables_of_all_pairs(found, self.kinds, n_bytes)

    def _plan_moments(self, table: RadialTable, expansion: Tensor) -> Tensor:
        """Return the coefficients of the table in kernel order."""
        n_functions, l_max = expansion.shape[1], self.model.l_max
        self.stage, self.slices = f"Moments{self.t}", n_functions // WARP
        self.width_component = self.plan.n_elements * n_functions
        self.width_received = (l_max + 1) ** 2 * self.width_component
        self.message_blocks = moment_blocks(self.layer, expansion)
        self.plan.structs.append(
            shapes.moments_shape(
                self.stage, self.plan.dtype, n_functions, self.plan.n_elements, l_max, table.degree, self.has_pairs
            )
        )
        return table.coefficients

    def _plan_convolution(self, table: RadialTable) -> Tensor:
        """Return the coefficients of the table in kernel order: slices of channels before paths."""
        layer, n = self.layer, self.layer.n_channels
        self.stage, self.slices = f"Convolution{self.t}", n // self.slice_lanes
        self.width_component, self.width_received = n, layer.n_components_mid * n
        self.message_blocks = layer.message
        components = layer.n_components_in, layer.n_components_mid
        self.plan.structs.append(
            shapes.convolution_shape(
                self.stage, self.plan.dtype, n, *components, self.model.l_max, table.degree, layer.paths, self.has_pairs
            )
        )
        coefficients = table.coefficients
        by_slice = coefficients.view(len(coefficients), len(layer.paths), self.slices, self.slice_lanes, -1)
        return by_slice.transpose(1, 2)

    def _add_sum_kernels(self) -> None:
        plan, c, t = self.plan, self.c_type, self.t
        table = table_parameters(c, self.kinds)
        given = EDGES, "const int *species" if self.is_moments else f"const {c} *features", table
        call = f"{'Moments' if self.is_moments else 'Convolution'}<{self.stage}>"
        rows = () if self.is_moments else (f"{c} *rows",)
        results = f"const {c} *gradients", *rows, f"{c} *partial"
        plan.kernel(f"sum_{t}", f"{call}::forward", *given, f"{c} *received", stage=self.stage)
        plan.kernel(f"sum_{t}_adjoint", f"{call}::adjoint", *given, *results, stage=self.stage)
        sums = "int n_slices", f"const {c} *partial", "double per_angstrom", "int is_first", "double *edge_gradients"
        plan.kernel("finish_edges", "finish_edges", EDGES, *sums)
        lists = "int n_nodes", "const int *in_first", "const int *in_slot", "const int *place"
        plan.kernel("gather_rows", "gather_rows", *lists, f"const {c} *rows", "int width", f"{c} *result")

    def _plan_contraction(self) -> None:
        plan, layer, t, c = self.plan, self.layer, self.t, self.c_type
        terms, weights = polynomial_terms(layer.polynomial, layer.n_components_out)
        components = layer.n_components_message, layer.n_components_out
        shape = shapes.contraction_shape(
            f"Contraction{t}",
            plan.dtype,
            layer.n_channels,
            *components,
            plan.n_elements,
            terms,
            _TILE_ATOMS[plan.dtype],
        )
        plan.structs.append(shape)
        plan.weight(f"contraction_{t}", weights.expand(plan.n_elements, -1, -1))
        given = "const int *element_begin", f"const {c} *messages", f"const {c} *weights"
        plan.kernel(f"contract_{t}", f"Contraction<Contraction{t}>::forward", *given, f"{c} *result")
        gradients = f"const {c} *gradients", f"{c} *result"
        plan.kernel(f"contract_{t}_adjoint", f"Contraction<Contraction{t}>::adjoint", *given, *gradients)

    def _features(self) -> str:
        """Return the name of the buffer that the sum over neighbours reads for its sources."""
        if self.is_moments:
            return "species"
        return f"features_{self.t - 1}" if self.t > 1 else "element_features"

    def plan_forward(self, phase: str) -> None:
        plan, t = self.plan, self.t
        if self._features() == "element_features":
            self._spread(phase, "nodes", "element_sources", self.width_in, "element_features")
        if self.is_moments:
            plan.clear(phase, f"received_{t}")
        arguments = *edge_arguments(), self._features(), *self.table
        plan.launch(phase, f"sum_{t}", "local", self.slices, *arguments, f"received_{t}")
        self.message.forward(phase, f"received_{t}", f"messages_{t}")
        if self.density is not None:
            self.density.forward(phase)
        self._contract(phase, f"contract_{t}", 0, f"products_{t}")
        has_skip = bool(self.layer.skip)
        if has_skip and t == 1:
            self._spread(phase, "local", "element_skips", self.width_out, f"result_{t}")
        elif has_skip:
            plan.copy(phase, f"skips_{t - 1}", f"result_{t}")
        self.mix.forward(phase, f"products_{t}", f"result_{t}", is_added=has_skip)
        self.readout.forward(phase)

    def _spread(self, phase: str, rows: str, table: str, width: int, target: str) -> None:
        """Write the row of ``table`` for each atom's element to ``target``."""
        self.plan.launch(phase, f"rows_by_element_{self.c_type}", rows, 1, size(rows), "species", table, width, target)

    def _contract(self, phase: str, kernel: str, direction: int, *rest: str) -> None:
        """Launch a contraction over tiles of atoms of one element; the last tile of an element may be partly empty."""
        per_tile = _TILE_ATOMS[self.plan.dtype][direction] * (WARP // self.slice_lanes)
        rows = f"local+{self.plan.n_elements * per_tile}"
        given = "element_begin", f"messages_{self.t}", f"contraction_{self.t}", *rest
        self.plan.launch(phase, kernel, rows, self.layer.n_channels // self.slice_lanes, *given, per_warp=per_tile)

    def hand_on(self, phase: str, following: "LayerPlan") -> None:
        """Write the inputs of the next layer: neighbour features and skip connection."""
        following.up.forward(phase, f"result_{self.t}", f"features_{self.t}")
        if following.layer.skip:
            following.skip.forward(phase, f"result_{self.t}", f"skips_{self.t}")

    def plan_backward(self, phase: str, following: "LayerPlan | None" = None) -> None:
        """Launch the gradients of the inputs and edges, given those of the features and skips for the next layer."""
        plan, t = self.plan, self.t
        self.readout.adjoint(phase, is_forward_before=following is None)
        if following is not None:
            following.up.adjoint(phase, f"feature_gradients_{t}", f"result_{t}_gradients", is_added=True)
            if following.layer.skip:
                following.skip.adjoint(phase, f"result_{t + 1}_gradients", f"result_{t}_gradients", is_added=True)
        self.mix.adjoint(phase, f"result_{t}_gradients", f"products_{t}_gradients")
        self._contract(phase, f"contract_{t}_adjoint", 1, f"products_{t}_gradients", f"messages_{t}_gradients")
        if self.density is not None:
            self.density.of_messages(phase)
        self.message.adjoint(phase, f"messages_{t}_gradients", f"received_{t}_gradients")
        self._plan_edge_gradients(phase)
        if self.density is not None:
            self.density.of_edges(phase)
        if t > 1:
            columns = WARP * 16 // plan.dtype.itemsize
            lists = size("nodes"), "in_first", "in_slot", "place"
            results = "rows", self.width_in, f"feature_gradients_{t - 1}"
            plan.launch(phase, "gather_rows", "nodes", -(-self.width_in // columns), *lists, *results)
        elif self.model.repulsion is not None:
            plan.launch(phase, "repel", "local", 1, *repulsion_arguments(self.model), NULL, "edge_gradients")

    def _plan_edge_gradients(self, phase: str) -> None:
        plan, t = self.plan, self.t
        rows = () if self.is_moments else ("rows" if t > 1 else NULL,)
        given = *edge_arguments(), self._features(), *self.table, f"received_{t}_gradients", *rows
        plan.launch(phase, f"sum_{t}_adjoint", "local", self.slices, *given, f"partial_{t}")
        sums = self.slices, f"partial_{t}", float(self.table[1]), int(self.is_last), "edge_gradients"
        plan.launch(phase, "finish_edges", "local", 1, *edge_arguments(), *sums)
