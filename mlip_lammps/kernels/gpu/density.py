"""The division of a layer's message by its density in the GPU plan of a model."""

import torch

from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.gpu.plan import EDGES, GpuPlan, edge_arguments, size
from mlip_lammps.kernels.gpu.tables import table_arguments, table_parameters, tables_of_all_pairs
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.pair_tables import PairKinds, PairTable, table_of_density


class DensityPlan:
    """Launches for the density of layer ``t`` (counted from 1)."""

    def __init__(self, plan: GpuPlan, model: LoweredModel, t: int, kinds: PairKinds | None):
        self.plan, self.t = plan, t
        layer = model.layers[t - 1]
        self.width = layer.n_components_message * layer.n_channels
        self.offset, self.factor = float(layer.density.offset), float(layer.density.factor)
        table = table_of_density(model, layer.density.network, kinds)
        if isinstance(table, PairTable):
            table = tables_of_all_pairs(table, kinds, value_bytes=8)
        self.table = table_arguments(plan, f"density_table_{t}", table.coefficients, table, kinds, torch.float64)
        plan.buffer(f"densities_{t}", "local", 1, 8)
        plan.buffer(f"densities_{t}_gradients", "local", 1, 8)
        self._add_kernels(f"Density<{table.degree}, {str(kinds is not None).lower()}>", kinds)

    def _add_kernels(self, call: str, kinds: PairKinds | None) -> None:
        plan, t, c = self.plan, self.t, C_TYPES[self.plan.dtype]
        table = table_parameters("double", kinds)
        plan.kernel(
            f"density_{t}", f"{call}::forward", EDGES, table, "double offset", "double factor", "double *densities"
        )
        results = "const double *gradients", "double *edge_gradients"
        plan.kernel(f"density_{t}_adjoint", f"{call}::adjoint", EDGES, table, "double factor", *results)
        divisor = "const double *densities", "int width"
        plan.kernel("divide_rows", "divide_rows", "int n", *divisor, f"{c} *rows")
        results = f"{c} *gradients", "double *density_gradients"
        plan.kernel("divide_rows_adjoint", "divide_rows_adjoint", "int n", f"const {c} *rows", *divisor, *results)

    def forward(self, phase: str) -> None:
        """Divide the messages by the densities."""
        plan, t = self.plan, self.t
        numbers = self.offset, self.factor, f"densities_{t}"
        plan.launch(phase, f"density_{t}", "local", 1, *edge_arguments(), *self.table, *numbers)
        plan.launch(phase, "divide_rows", "local", 1, size("local"), f"densities_{t}", self.width, f"messages_{t}")

    def of_messages(self, phase: str) -> None:
        """Write the gradients of the messages before the division over those after it, and those of the densities."""
        t = self.t
        given = size("local"), f"messages_{t}", f"densities_{t}", self.width
        results = f"messages_{t}_gradients", f"densities_{t}_gradients"
        self.plan.launch(phase, "divide_rows_adjoint", "local", 1, *given, *results)

    def of_edges(self, phase: str) -> None:
        """Add the gradients through the densities to those of the edges."""
        given = self.factor, f"densities_{self.t}_gradients", "edge_gradients"
        self.plan.launch(phase, f"density_{self.t}_adjoint", "local", 1, *edge_arguments(), *self.table, *given)
