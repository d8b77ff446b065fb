"""Steps before and after the layers in the GPU plan of a model: atomic energies, forces and totals."""

import torch

from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.gpu.plan import EDGES, NULL, GpuPlan, Group, edge_arguments, size
from mlip_lammps.kernels.gpu.source import WARPS_OF_A_BLOCK
from mlip_lammps.kernels.lowered import LoweredModel, RepulsionTables

_TOTAL_WARPS = 256


def plan_begin(plan: GpuPlan, model: LoweredModel) -> None:
    """Add the phase ``begin``: constant energies of elements, and the repulsion of nuclei."""
    for name in ("energy_weights", "node_energies", "energies_0"):
        plan.buffer(name, "local", 1, 8)
    plan.buffer("edge_gradients", "edges", 3, 8)
    plan.weight("node_constants", model.node_constants, torch.float64)
    for c in ("double", C_TYPES[plan.dtype]):
        given = "int n", "const int *species", f"const {c} *table", "int width", f"{c} *result"
        plan.kernel(f"rows_by_element_{c}", "rows_by_element", *given)
    constants = size("local"), "species", "node_constants", 1, "energies_0"
    plan.launch("begin", "rows_by_element_double", "local", 1, *constants)
    if model.repulsion is not None:
        _add_repulsion(plan, model.repulsion)
        plan.launch("begin", "repel", "local", 1, *repulsion_arguments(model), "energies_0", NULL)


def _add_repulsion(plan: GpuPlan, tables: RepulsionTables) -> None:
    pairs = torch.stack([tables.strengths, tables.decays, tables.reaches], dim=1)
    plan.weight("repulsion_pairs", pairs, torch.float64)
    plan.weight("repulsion_coefficients", torch.tensor(tables.coefficients, dtype=torch.float64), torch.float64)
    plan.weight("repulsion_exponents", torch.tensor(tables.exponents, dtype=torch.float64), torch.float64)
    numbers = "const double *pairs", "const double *coefficients", "const double *exponents"
    repulsion = Group(("int n_elements", *numbers, "int cutoff_power", "double cutoff"))
    results = "const double *energy_weights", "double *energies", "double *edge_gradients"
    plan.kernel("repel", "repel", EDGES, "const int *species", repulsion, *results)


def repulsion_arguments(model: LoweredModel) -> tuple:
    """Return the arguments of ``repel`` without its results."""
    tables = model.repulsion
    weights = "repulsion_pairs", "repulsion_coefficients", "repulsion_exponents"
    numbers = tables.n_elements, *weights, tables.cutoff_power, float(tables.cutoff)
    return *edge_arguments(), "species", *numbers, "energy_weights"


def plan_sums(plan: GpuPlan) -> None:
    """Add the phase ``sums``: forces, energy and virial."""
    plan.buffer("forces", "nodes", 3, 8)
    plan.buffer("totals", "one", 16, 8)
    plan.buffer("partial_totals", "one", 8 * _TOTAL_WARPS, 8)
    gradients, lists = "const double *edge_gradients", ("in_first", "in_slot", "place")
    listed = (f"const int *{name}" for name in lists)
    plan.kernel("gather_forces", "gather_forces", "int n_nodes", EDGES, *listed, gradients, "double *forces")
    energies = "const double *energies", gradients, "double *partial"
    plan.kernel("partial_totals", "partial_totals", "int n_warps", EDGES, *energies)
    plan.kernel("totals", "totals", "int n_warps", "const double *partial", "double *result")

    forces = size("nodes"), *edge_arguments(), *lists, "edge_gradients", "forces"
    plan.launch("sums", "gather_forces", "nodes", 1, *forces)
    partial = _TOTAL_WARPS, *edge_arguments(), "node_energies", "edge_gradients", "partial_totals"
    plan.launch("sums", "partial_totals", _TOTAL_WARPS // WARPS_OF_A_BLOCK, 1, *partial)
    plan.launch("sums", "totals", 1, 1, _TOTAL_WARPS, "partial_totals", "totals")
