"""Mutations of the package: original source text, replacement, and the check that must fail.

The original text must occur exactly once in its file; a test reports mutations for which it does not.
"""

from dataclasses import dataclass

TWO_RANKS = "LAMMPS on 2 ranks = ASE"
REFERENCE = "ASE = reference"
SETTINGS = "settings of LAMMPS = ASE"
SYMMETRIES = "symmetries, in LAMMPS"
DERIVATIVES = "derivatives, in LAMMPS"
PER_ATOM = "per-atom virials"

SMALL_MODEL = "one_layer_of_two"
LAYERED_MODEL = "two_layers"
NON_LINEAR_MODEL = "non_linear"
CHARGED_MODEL = "charged"
ATTENTION_MODEL = "attention"
DENSITY_MODEL = "density"
LATENT_MODEL = "latent_charges"


@dataclass(frozen=True)
class Mutation:
    """One fault.

    Attributes
    ----------
    name
        Description of the fault.
    file
        Path below the root of the repository.
    old, new
        Original text and its replacement.
    caught_by
        Group and name of a check that must fail; others may fail too.
    model
        Random test model that shows the fault; ``non_linear``, ``charged`` and ``attention`` belong to the mutation
        tests.
    is_fast
        Whether every test run plants it.
    device
        Device of the compiled model: ``cpu`` or ``emulated``.
    n_ranks
        Numbers of ranks for the verification.
    """

    name: str
    file: str
    old: str
    new: str
    caught_by: tuple[str, str]
    model: str = LAYERED_MODEL
    is_fast: bool = False
    device: str = "cpu"
    n_ranks: int = 2

    @property
    def is_compiled_into_models(self) -> bool:
        """Whether the fault affects the creation of a model file rather than its evaluation."""
        return self.file.startswith(("mlip_lammps/families/", "mlip_lammps/kernels/", "mlip_lammps/compilation/"))

    @property
    def is_cpp(self) -> bool:
        return self.file.endswith((".cpp", ".h"))


IN_THE_PAIR_STYLE = [
    Mutation(
        "the sign of one component of the virial",
        "pair_style/lammps/atom_sums.cpp",
        "                       -r[1] * g[1],\n",
        "                       r[1] * g[1],\n",
        (TWO_RANKS, "virial"),
    ),
    Mutation(
        "charge and spin of pair_style ignored",
        "pair_style/lammps/loaded_models.cpp",
        "is_default ? input.default_value : found->second",
        "is_default ? input.default_value : input.default_value",
        (TWO_RANKS, "energy"),
        model=CHARGED_MODEL,
    ),
    Mutation(
        "charge and spin in the other order",
        "pair_style/model/model.cpp",
        "  state->evaluation.global_inputs = values;\n",
        "  state->evaluation.global_inputs.assign(values.rbegin(), values.rend());\n",
        (REFERENCE, "energy"),
        model=CHARGED_MODEL,
    ),
    Mutation(
        "xz and yz of the virial swapped",
        "pair_style/lammps/atom_sums.cpp",
        "-0.5 * (r[0] * g[2] + r[2] * g[0]),\n                       -0.5 * (r[1] * g[2] + r[2] * g[1])}",
        "-0.5 * (r[1] * g[2] + r[2] * g[1]),\n                       -0.5 * (r[0] * g[2] + r[2] * g[0])}",
        (TWO_RANKS, "virial"),
    ),
    Mutation(
        "edge forces added only to the centre",
        "pair_style/lammps/atom_sums.cpp",
        "      sums.forces[j][k] -= g[k];\n",
        "",
        (TWO_RANKS, "forces"),
    ),
    Mutation(
        "half the force on edges between owned atoms",
        "pair_style/lammps/atom_sums.cpp",
        "      sums.forces[j][k] -= g[k];\n",
        "      sums.forces[j][k] -= (graph.edge_neighbour[edge] < graph.n_local ? 0.5 : 1.0) * g[k];\n",
        (TWO_RANKS, "forces"),
    ),
    Mutation(
        "atomic energies overwritten instead of accumulated",
        "pair_style/lammps/atom_sums.cpp",
        "    if (sums.energies) sums.energies[edges.atom_of_row(row)] += energy;\n",
        "",
        (TWO_RANKS, "atomic energies"),
    ),
    Mutation(
        "first owned atom missing from the energy",
        "pair_style/lammps/atom_sums.cpp",
        "    if (sums.energy) *sums.energy += energy;\n",
        "    if (sums.energy && row > 0) *sums.energy += energy;\n",
        (TWO_RANKS, "sum of atomic energies"),
    ),
    Mutation(
        "whole virial of an edge assigned to both atoms",
        "pair_style/lammps/atom_sums.cpp",
        "    sums.virials[j][k] += 0.5 * v[k];\n",
        "    sums.virials[j][k] += v[k];\n",
        (TWO_RANKS, "sum of atomic virials"),
    ),
    Mutation(
        "special-bond bits not masked in neighbour indices",
        "pair_style/lammps/pair_mlip_torch_step.cpp",
        "  rows.mask = NEIGHMASK;\n",
        "  rows.mask = ~0;\n",
        (SETTINGS, "bits of special bonds"),
    ),
    Mutation(
        "features kept from the step of the last neighbour list build",
        "pair_style/lammps/pair_mlip_torch_step.cpp",
        "  parts->exchange.is_mute = !fault.empty();\n",
        "  parts->exchange.is_mute = !fault.empty() || neighbor->ago > 0;\n",
        (SETTINGS, "moved since the list was built"),
        is_fast=True,
    ),
    Mutation(
        "atomic number used as species index",
        "pair_style/edges.cpp",
        "rows[row] = species_of_kind[all.species[row]];\n",
        "rows[row] = all.species[row];\n",
        (SETTINGS, "types in another order"),
    ),
    Mutation(
        "cutoff 1 % too short",
        "pair_style/edges.cpp",
        "  const double cutoff_sq = cutoff * cutoff;\n",
        "  const double cutoff_sq = 0.99 * cutoff * 0.99 * cutoff;\n",
        (TWO_RANKS, "edges that differ"),
    ),
    Mutation(
        "last edge dropped",
        "pair_style/edges.cpp",
        "  n_edges = edge;\n",
        "  n_edges = edge > 0 ? edge - 1 : 0;\n",
        (TWO_RANKS, "edges that differ"),
    ),
    Mutation(
        "last edge duplicated",
        "pair_style/edges.cpp",
        "  n_edges = edge;\n",
        """  if (edge > 0) {
    edge_centre[edge] = edge_centre[edge - 1];
    edge_neighbour[edge] = edge_neighbour[edge - 1];
    for (int k = 0; k < 3; k++) edge_vectors[3 * edge + k] = edge_vectors[3 * edge - 3 + k];
    edge++;
  }
  n_edges = edge;
""",
        (TWO_RANKS, "edges that differ"),
    ),
    Mutation(
        "one edge coordinate in float32",
        "pair_style/edges.cpp",
        "      edge_vectors[3 * edge + 2] = dz;\n",
        "      edge_vectors[3 * edge + 2] = static_cast<float>(dz);\n",
        (TWO_RANKS, "edges that differ"),
    ),
    Mutation(
        "wrong ghost images: z mirrored",
        "pair_style/edges.cpp",
        "      edge_vectors[3 * edge + 2] = dz;\n",
        "      edge_vectors[3 * edge + 2] = j < atoms.n_local ? dz : -dz;\n",
        (TWO_RANKS, "edges that differ"),
    ),
    Mutation(
        "features of some ghosts not received",
        "pair_style/lammps/comm_exchange.h",
        "      if (char *row = row_of(first + k)) memcpy(row, buf, bytes);\n",
        "      if (char *row = k % 5 ? row_of(first + k) : nullptr) memcpy(row, buf, bytes);\n",
        (TWO_RANKS, "forces"),
    ),
    Mutation(
        "ghosts of other ranks not passed on",
        "pair_style/lammps/needed_ghosts.cpp",
        "    if (is_known) needed[list[k]] |= message.is_needed[k];\n",
        "",
        (TWO_RANKS, "forces"),
    ),
    Mutation(
        "feature gradients not returned to their owners",
        "pair_style/lammps/comm_exchange.h",
        "      sum[k] += value;\n",
        "      sum[k] += T(0) * value;\n",
        (TWO_RANKS, "forces"),
    ),
    Mutation(
        "features of a float64 model sent in float32",
        "pair_style/lammps/comm_exchange.h",
        "      memcpy(buf, row, bytes);\n",
        "      for (int64_t m = 0; m < features->width; m++)\n"
        "        buf[m] = static_cast<float>(reinterpret_cast<const double *>(row)[m]);\n",
        (TWO_RANKS, "forces"),
    ),
    Mutation(
        "rank without atoms does not take part in the exchange",
        "pair_style/model/model.cpp",
        "  fault.guard([&] { s.evaluation.start(graph, has_moments); });\n",
        "  if (graph.n_local == 0) return {};\n  fault.guard([&] { s.evaluation.start(graph, has_moments); });\n",
        (TWO_RANKS, "ranks without atoms"),
    ),
    Mutation(
        "phantom edges inside the cutoff",
        "pair_style/model/chunk.cpp",
        "    padded_vectors.assign(3 * n_padded(), 2.0 * metadata.cutoff);\n",
        "    padded_vectors.assign(3 * n_padded(), 0.2 * metadata.cutoff);\n",
        (REFERENCE, "atomic energies"),
    ),
    Mutation(
        "only energies of the last layer",
        "pair_style/model/evaluation.cpp",
        "sums[chunk.begin + k] += values[k];\n",
        "sums[chunk.begin + k] = values[k];\n",
        (REFERENCE, "atomic energies"),
    ),
    Mutation(
        "gradients of chunks overwrite each other",
        "pair_style/model/evaluation.cpp",
        "to[m] += share * from[m];",
        "to[m] = share * from[m];",
        (SYMMETRIES, "supercell"),
    ),
    Mutation(
        "feature moments not returned from ghosts",
        "pair_style/model/model.cpp",
        "      rows = s.evaluation.moment_rows(gradients, axis);\n      exchange.reverse(rows);\n",
        "      rows = s.evaluation.moment_rows(gradients, axis);\n",
        (TWO_RANKS, PER_ATOM),
    ),
    Mutation(
        "moments relative to the origin of a chunk",
        "pair_style/model/evaluation.cpp",
        "less_axis == PLAIN ? 1.0 : -offset(row(k), less_axis)",
        "less_axis == PLAIN ? 1.0 : 0.0",
        (REFERENCE, PER_ATOM),
    ),
    Mutation(
        "rows and columns of per-atom virials swapped",
        "pair_style/lammps/atom_sums.cpp",
        "const int a = ROW[k], b = COLUMN[k];",
        "const int a = COLUMN[k], b = ROW[k];",
        (TWO_RANKS, PER_ATOM),
    ),
]

OF_LATENT_CHARGES = [
    Mutation(
        "structure factors not summed over ranks",
        "pair_style/lammps/comm_exchange.h",
        "    MPI_Allreduce(MPI_IN_PLACE, values, static_cast<int>(n), MPI_DOUBLE, MPI_SUM, world);\n",
        "",
        (TWO_RANKS, "energy"),
        model=LATENT_MODEL,
    ),
    Mutation(
        "gradients of the latent charges not propagated",
        "pair_style/model/evaluation.cpp",
        "    charge_gradients[row] = potentials[i];\n",
        "",
        (REFERENCE, "forces"),
        model=LATENT_MODEL,
    ),
    Mutation(
        "gradients of the latent charges missing from the layers",
        "mlip_lammps/families/chain.py",
        "        total = total + (handed[CHARGES] * named[CHARGE_GRADIENTS]).sum()\n",
        "        total = total + 0.0 * (handed[CHARGES] * named[CHARGE_GRADIENTS]).sum()\n",
        (REFERENCE, "forces"),
        model=LATENT_MODEL,
    ),
    Mutation(
        "every rank adds the whole virial of the latent charges",
        "pair_style/model/latent_ewald.cpp",
        "virial[c] = -strain[c] / n_ranks;",
        "virial[c] = -strain[c];",
        (TWO_RANKS, "virial"),
        model=LATENT_MODEL,
    ),
    Mutation(
        "reciprocal vectors of a cell without tilt",
        "pair_style/lammps/pair_mlip_torch_step.cpp",
        "h[0], 0.0, 0.0, h[5], h[1], 0.0, h[4], h[3], h[2]}",
        "h[0], 0.0, 0.0, 0.0, h[1], 0.0, 0.0, 0.0, h[2]}",
        (TWO_RANKS, "energy"),
        model=LATENT_MODEL,
    ),
    Mutation(
        "a rank without atoms adds no virial of the latent charges",
        "pair_style/lammps/atom_sums.cpp",
        "if (results.has_sum) add_sum",
        "if (results.has_sum && edges.graph().n_local > 0) add_sum",
        (TWO_RANKS, "virial"),
        model=LATENT_MODEL,
    ),
]

IN_THE_KERNELS = [
    Mutation(
        "radial table read one interval off",
        "mlip_lammps/kernels/cpu/geometry.h",
        "      interval[e] = k;\n",
        "      interval[e] = k > 0 ? k - 1 : 0;\n",
        (REFERENCE, "forces"),
        model=SMALL_MODEL,
    ),
    Mutation(
        "edge direction of a float64 model in float32",
        "mlip_lammps/kernels/cpu/geometry.h",
        "      u[0][e] = x * inverse;\n",
        "      u[0][e] = static_cast<float>(x * inverse);\n",
        (DERIVATIVES, "forces, by energy differences"),
        model=SMALL_MODEL,
    ),
    Mutation(
        "radial part of the gradient not removed from the direction gradient",
        "mlip_lammps/kernels/cpu/geometry.h",
        "(gu[k][e] - along * u[k][e]) / r[e]",
        "gu[k][e] / r[e]",
        (DERIVATIVES, "forces, by energy differences"),
        model=SMALL_MODEL,
    ),
    Mutation(
        "missing term in the adjoint of the harmonics",
        "mlip_lammps/kernels/cpu/harmonics.py",
        '                lines.append(f"      gy[{order**2 + b}][e] += T({c!r}) * {upper} * y[{1 + a}][e];")\n',
        "",
        (DERIVATIVES, "forces, by energy differences"),
    ),
]

IN_THE_LOWERING = [
    Mutation(
        "the sign of harmonics of order two",
        "mlip_lammps/families/mace/lowering/layout.py",
        "                coupling=symbols * (-1.0) ** l_edge,\n",
        "                coupling=symbols * (-1.0) ** min(l_edge, 1),\n",
        (REFERENCE, "forces"),
    ),
    Mutation(
        "energies of two elements swapped",
        "mlip_lammps/families/mace/lowering/model.py",
        "        node_constants=energies[rows] + ",
        "        node_constants=energies[rows[::-1]] + ",
        (REFERENCE, "energy"),
        model=SMALL_MODEL,
    ),
    Mutation(
        "weights of the contraction of another element",
        "mlip_lammps/families/mace/lowering/model.py",
        "pieces.append((starts[k], coupling, weight[rows]))",
        "pieces.append((starts[k], coupling, weight[rows[::-1]]))",
        (REFERENCE, "atomic energies"),
        model=SMALL_MODEL,
    ),
    Mutation(
        "no skip connection for one element",
        "mlip_lammps/families/mace/lowering/layout.py",
        "        for (i, k), matrix in element_matrices(table, name, irreps_in, irreps_out).items()\n",
        "        for (i, k), matrices in element_matrices(table, name, irreps_in, irreps_out).items()\n"
        "        for matrix in [torch.cat([0.0 * matrices[:1], matrices[1:]])]\n",
        (REFERENCE, "atomic energies"),
    ),
    Mutation(
        "the scalars of the centre left out of the radial network",
        "mlip_lammps/kernels/torch/layer_operators.py",
        "added = added + (scalars @",
        "added = added + 0.0 * (scalars @",
        (REFERENCE, "forces"),
        model=ATTENTION_MODEL,
    ),
    Mutation(
        "forces through the scalars of the centre left out",
        "mlip_lammps/families/mace/layers.py",
        "        for name, gradient in direct.items():\n",
        "        found.pop(f\"skip_gradients_{t - 1}\", None)\n        for name, gradient in direct.items():\n",
        (REFERENCE, "forces"),
        model=ATTENTION_MODEL,
    ),
    Mutation(
        "the charge left out of the features",
        "mlip_lammps/families/mace/layers.py",
        "return self.first.embedding + global_features(",
        "return self.first.embedding + 0.0 * global_features(",
        (REFERENCE, "energy"),
        model=CHARGED_MODEL,
    ),
    Mutation(
        "the elements of a pair swapped",
        "mlip_lammps/families/mace/layers.py",
        "graph.centre_species.index_select(0, graph.edge_centre) * len(self.node_constants) + neighbour",
        "graph.centre_species.index_select(0, graph.edge_centre) + len(self.node_constants) * neighbour",
        (REFERENCE, "forces"),
        model=NON_LINEAR_MODEL,
    ),
    Mutation(
        "the density left out of the divisor",
        "mlip_lammps/families/mace/layers.py",
        "divisor = layer.density.offset + layer.density.factor * density",
        "divisor = layer.density.offset + 0.0 * density",
        (REFERENCE, "atomic energies"),
        model=NON_LINEAR_MODEL,
    ),
    Mutation(
        "the residual of a gated message left out",
        "mlip_lammps/families/mace/layers.py",
        'messages + self.operators.linear("residual", t, own, species)',
        'messages + 0.0 * self.operators.linear("residual", t, own, species)',
        (REFERENCE, "forces"),
        model=NON_LINEAR_MODEL,
    ),
]

IN_THE_GRAPH = [
    Mutation(
        "images of neighbours folded into one",
        "mlip_lammps/structure/graph.py",
        "    return i.astype(np.int64), j.astype(np.int64), vectors, distances\n",
        "    vectors = np.where(i[:, None] != j[:, None], atoms.positions[j] - atoms.positions[i], vectors)\n"
        "    return i.astype(np.int64), j.astype(np.int64), vectors, distances\n",
        (TWO_RANKS, "edges that differ"),
    ),
    Mutation(
        "yz and xy of the virial swapped in ASE",
        "mlip_lammps/structure/graph.py",
        "    return voigt_of(0.5 * (tensor + tensor.T))\n",
        "    return voigt_of(0.5 * (tensor + tensor.T))[[0, 1, 2, 5, 4, 3]]\n",
        (TWO_RANKS, "virial"),
    ),
]

MUTATIONS = (*IN_THE_PAIR_STYLE, *OF_LATENT_CHARGES, *IN_THE_KERNELS, *IN_THE_LOWERING, *IN_THE_GRAPH)
