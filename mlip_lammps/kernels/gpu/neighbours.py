"""Neighbour search in the GPU plan: cells and candidates when LAMMPS rebuilds its lists, edges in each step.

The phase ``bins`` sorts atoms into cells and counts candidates, ``near`` writes the candidates, ``list`` collects the
slots that refer to each node, and ``edges`` selects the candidates within the cutoff.
"""

import torch
from torch import Tensor

from mlip_lammps.kernels.gpu.plan import GpuPlan, Group, size
from mlip_lammps.kernels.gpu.shapes import WARP
from mlip_lammps.kernels.lowered import LoweredModel

_MOST = 2**31 - 1

_BUFFERS = {
    "species": "nodes",
    "atom_of": "nodes",
    "node_of": "atoms",
    "element_begin": "elements+1",
    "cell": "atoms",
    "cell_atoms": "atoms",
    "cell_unsorted": "atoms",
    "cell_count": "cells",
    "cell_cursor": "cells",
    "cell_first": "cells+1",
    "list_first": "local+1",
    "candidate": "slots",
    "slot_node": "slots",
    "place": "slots",
    "in_first": "nodes+1",
    "in_slot": "slots",
    "in_unsorted": "slots",
    "in_count": "nodes",
    "in_cursor": "nodes",
    "count": "local",
    "first": "local+1",
    "source": "edges",
    "found": "one",
    "scanned": "one",
}
"""int32 arrays and their numbers of rows."""


def plan_neighbours(plan: GpuPlan, model: LoweredModel, smallest: Tensor) -> None:
    """Add the phases of the neighbour search.

    Parameters
    ----------
    smallest
        Distances in angstrom, by pair of elements, below which LAMMPS warns about two atoms, shape (n_elements,
        n_elements).
    """
    for name, rows in _BUFFERS.items():
        plan.buffer(name, rows, 1, 4)
    plan.buffer("positions", "atoms", 3, 8)
    plan.buffer("vectors", "edges", 3, 8)
    plan.buffer("closest", "one", 1, 8)
    plan.buffer("grid", "one", 10, 8)
    plan.weight("smallest_sq", smallest.reshape(-1) ** 2, torch.float64)
    _add_group_kernels(plan)
    _plan_candidates(plan)
    _group(plan, "list", "slots", "nodes", "slot_node", "in")
    _plan_edges(plan, model)


def _add_group_kernels(plan: GpuPlan) -> None:
    plan.kernel("scan", "scan", "int n", "const int *in", "int capacity", "int *out", "int *total")
    groups = "int n", "const int *groups"
    plan.kernel("count_members", "count_members", *groups, "int *counts")
    plan.kernel("fill_members", "fill_members", *groups, "const int *first", "int *cursors", "int *members")
    sorting = "int n", "const int *first", "const int *unsorted", "int *members"
    plan.kernel("sort_members", "sort_members", *sorting)


def _group(plan: GpuPlan, phase: str, items: str, groups: str, group_of: str, name: str) -> None:
    """Write the items of each group in ascending order: ``NAME_first``, and ``in_slot`` or ``cell_atoms``."""
    members = {"in": "in_slot", "cell": "cell_atoms"}[name]
    plan.clear(phase, f"{name}_count")
    plan.clear(phase, f"{name}_cursor")
    plan.launch(phase, "count_members", items, 1, size(items), group_of, f"{name}_count", per_warp=WARP)
    plan.launch(phase, "scan", 1, 1, size(groups), f"{name}_count", _MOST, f"{name}_first", "scanned")
    filling = size(items), group_of, f"{name}_first", f"{name}_cursor", f"{name}_unsorted"
    plan.launch(phase, "fill_members", items, 1, *filling, per_warp=WARP)
    plan.launch(phase, "sort_members", groups, 1, size(groups), f"{name}_first", f"{name}_unsorted", members)


def _plan_candidates(plan: GpuPlan) -> None:
    grid = Group(("const double *grid",))
    plan.kernel("bin_atoms", "bin_atoms", "int n_atoms", "const double *positions", grid, "int *cell")
    plan.launch("bins", "bin_atoms", "atoms", 1, size("atoms"), "positions", "grid", "cell", per_warp=WARP)
    _group(plan, "bins", "atoms", "cells", "cell", "cell")

    lists = "atom_of", "cell", "cell_first", "cell_atoms"
    cells = Group(("int n_local", *(f"const int *{name}" for name in lists), "const double *positions", *grid))
    plan.kernel("count_candidates", "count_candidates", cells, "int *counts")
    results = "const int *list_first", "const int *node_of", "int *candidate", "int *slot_node"
    plan.kernel("fill_candidates", "fill_candidates", cells, *results)
    arguments = size("local"), *lists, "positions", "grid"
    plan.launch("bins", "count_candidates", "local", 1, *arguments, "count")
    plan.launch("bins", "scan", 1, 1, size("local"), "count", _MOST, "list_first", "found")
    results = "list_first", "node_of", "candidate", "slot_node"
    plan.launch("near", "fill_candidates", "local", 1, *arguments, *results)


def _plan_edges(plan: GpuPlan, model: LoweredModel) -> None:
    lists = "list_first", "candidate", "atom_of", "node_of"
    listed = (f"const int *{name}" for name in lists)
    candidates = Group(("int n_local", *listed, "const double *positions", "double cutoff_sq"))
    plan.kernel("count_edges", "count_edges", candidates, "int *counts")
    numbers = "const int *first", "int capacity", "int n_elements", "const double *smallest_sq", "const int *species"
    results = "int *source", "double *vectors", "int *place", "uint64_t *closest"
    plan.kernel("fill_edges", "fill_edges", candidates, *numbers, *results)
    plan.kernel("forget_closest", "forget_closest", "uint64_t *closest")

    arguments = size("local"), *lists, "positions", float(model.cutoff) ** 2
    plan.launch("edges", "forget_closest", 1, 1, "closest")
    plan.launch("edges", "count_edges", "local", 1, *arguments, "count")
    plan.launch("edges", "scan", 1, 1, size("local"), "count", size("edges"), "first", "found")
    found = "first", size("edges"), plan.n_elements, "smallest_sq", "species", "source", "vectors", "place", "closest"
    plan.launch("edges", "fill_edges", "local", 1, *arguments, *found)
