"""Mutations of the GPU code; ``mlip-lammps verify`` must detect them with a file for an emulated GPU."""

from functools import partial

from mutations import DENSITY_MODEL, REFERENCE, SETTINGS, SMALL_MODEL, TWO_RANKS, Mutation

ONE_RANK = "LAMMPS on 1 rank = ASE"

_GpuMutation = partial(Mutation, device="emulated")

IN_THE_GPU_KERNELS = [
    _GpuMutation(
        "the sign of the gradient of features in the adjoint sum over neighbours",
        "mlip_lammps/kernels/gpu/shapes.py",
        "gh[{component}] += r[{p}] * s;",
        "gh[{component}] -= r[{p}] * s;",
        (REFERENCE, "forces"),
        is_fast=True,
    ),
    _GpuMutation(
        "missing factor of two between table position and distance",
        "mlip_lammps/kernels/gpu/geometry.h",
        "Lanes<double>(2.0 * per_angstrom) * g[3]",
        "Lanes<double>(per_angstrom) * g[3]",
        (REFERENCE, "forces"),
        model=SMALL_MODEL,
    ),
    _GpuMutation(
        "radial part of the gradient not removed from the direction gradient on a GPU",
        "mlip_lammps/kernels/gpu/geometry.h",
        "(g[k] - along * u[k]) * inverse",
        "g[k] * inverse",
        (REFERENCE, "forces"),
        model=SMALL_MODEL,
    ),
    _GpuMutation(
        "table of a pair of elements chosen by the neighbour alone",
        "mlip_lammps/kernels/gpu/geometry.h",
        "load(species, neighbour) + species[i] * n_elements",
        "load(species, neighbour)",
        (REFERENCE, "atomic energies"),
        model=DENSITY_MODEL,
    ),
    _GpuMutation(
        "the gradient through the density left out",
        "mlip_lammps/kernels/gpu/density.h",
        "load_changing(edge_gradients, edge * 3 + k) + upstream * slope * unit[k]",
        "load_changing(edge_gradients, edge * 3 + k)",
        (REFERENCE, "forces"),
        model=DENSITY_MODEL,
    ),
    _GpuMutation(
        "last edge of each node missing from its feature gradient",
        "mlip_lammps/kernels/gpu/convolution.h",
        "entry < in_first[node + 1]; entry++",
        "entry < in_first[node + 1] - 1; entry++",
        (REFERENCE, "forces"),
    ),
    _GpuMutation(
        "contraction tile that uses its first atom for all",
        "mlip_lammps/kernels/gpu/contraction.h",
        "select(is_row, row(k), Lanes<int>(end - 1))",
        "select(is_row, row(0), Lanes<int>(end - 1))",
        (REFERENCE, "atomic energies"),
        model=SMALL_MODEL,
    ),
    _GpuMutation(
        "running sum that restarts in each tile",
        "mlip_lammps/kernels/gpu/lists.h",
        "scan_lanes(own, of_all) + sum;",
        "scan_lanes(own, of_all);",
        (TWO_RANKS, "forces"),
    ),
    _GpuMutation(
        "cutoff of the model's own edge list 1 % too short",
        "mlip_lammps/kernels/gpu/neighbours.py",
        "float(model.cutoff) ** 2",
        "(0.99 * float(model.cutoff)) ** 2",
        (TWO_RANKS, "forces"),
    ),
    _GpuMutation(
        "cells above that of an atom not searched",
        "mlip_lammps/kernels/gpu/lists.h",
        "cz <= z + 1 && cz < nz",
        "cz <= z && cz < nz",
        (TWO_RANKS, "forces"),
    ),
    _GpuMutation(
        "edge forces added only to the centre on a GPU",
        "mlip_lammps/kernels/gpu/sums.h",
        "sum[k] -= load_if(edge >= 0, edge_gradients, edge * 3 + k, Lanes<double>(0.0));",
        "sum[k] -= Lanes<double>(0.0) * load_if(edge >= 0, edge_gradients, edge * 3 + k, Lanes<double>(0.0));",
        (TWO_RANKS, "forces"),
        model=SMALL_MODEL,
    ),
    _GpuMutation(
        "xz and yz of the virial swapped on a GPU",
        "mlip_lammps/kernels/gpu/sums.h",
        "sum[5] -= half * (r[0] * g[2] + r[2] * g[0]);\n      sum[6] -= half * (r[1] * g[2] + r[2] * g[1]);",
        "sum[6] -= half * (r[0] * g[2] + r[2] * g[0]);\n      sum[5] -= half * (r[1] * g[2] + r[2] * g[1]);",
        (TWO_RANKS, "virial"),
        model=SMALL_MODEL,
    ),
    _GpuMutation(
        "lanes without an edge contribute",
        "mlip_lammps/kernels/gpu/sums.h",
        "sum[k] += load_if(is_edge, edge_gradients, (lane() + base) * 3 + k, Lanes<double>(0.0));",
        "sum[k] += load_if(is_edge, edge_gradients, (lane() + base) * 3 + k, Lanes<double>(1e-6));",
        (TWO_RANKS, "forces"),
        model=SMALL_MODEL,
    ),
    _GpuMutation(
        "matrices of a linear map not transposed in its adjoint",
        "mlip_lammps/kernels/gpu/products.py",
        '            "transposed": is_transposed,\n',
        '            "transposed": is_transposed and block.matrix.shape[-1] != block.matrix.shape[-2],\n',
        (REFERENCE, "forces"),
    ),
]

IN_THE_GPU_ENGINE = [
    _GpuMutation(
        "results in element order instead of caller order",
        "pair_style/model/gpu/gpu_lists.cpp",
        "std::memcpy(caller_rows + atom_of[row] * row_bytes, device_rows + row * row_bytes, row_bytes);",
        "std::memcpy(caller_rows + row * row_bytes, device_rows + row * row_bytes, row_bytes);",
        (REFERENCE, "atomic energies"),
        model=SMALL_MODEL,
    ),
    _GpuMutation(
        "edge gradients in element order instead of caller order",
        "pair_style/model/gpu/gpu_engine.cpp",
        "edge_gradients.begin() + 3 * edges.edge_of_row(row, order)",
        "edge_gradients.begin() + 3 * int64_t(edges.first[row])",
        (REFERENCE, "forces"),
        model=SMALL_MODEL,
    ),
    _GpuMutation(
        "feature gradients from other ranks not copied to the GPU",
        "pair_style/model/gpu/gpu_features.cpp",
        "                order->n_local * row_bytes(moving));\n}\n\n/* ",
        "                0 * row_bytes(moving));\n}\n\n/* ",
        (TWO_RANKS, "forces"),
    ),
    _GpuMutation(
        "positions kept from the step of the last list build",
        "pair_style/model/gpu/gpu_engine_step.cpp",
        "if (bytes > 0) std::memcpy(up->data(), atoms.positions, bytes);",
        "if (bytes > 0 && !has_lists) std::memcpy(up->data(), atoms.positions, bytes);",
        (SETTINGS, "moved since the list was built"),
    ),
    _GpuMutation(
        "ghosts assigned to the next atom",
        "pair_style/model/gpu/gpu_lists.cpp",
        "node_of[ghost] = row_of[owner];",
        "node_of[ghost] = row_of[(owner + 1) % n_local];",
        (ONE_RANK, "forces"),
        n_ranks=1,  # one rank only: with more ranks, ghosts are separate atoms
    ),
    _GpuMutation(
        "moments relative to the centre of the atoms",
        "pair_style/model/gpu/gpu_engine.cpp",
        "edge_moments[9 * e + 3 * a + b] = -offsets[3 * graph.edge_centre[e] + a] * edge_gradients[3 * e + b];",
        "edge_moments[9 * e + 3 * a + b] = 0.0 * edge_gradients[3 * e + b];",
        (REFERENCE, "per-atom virials"),
    ),
]

GPU_MUTATIONS = (*IN_THE_GPU_KERNELS, *IN_THE_GPU_ENGINE)
