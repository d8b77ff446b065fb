"""M3GNet as a chain of layers of torch functions.

Edge features stay with the centre of their edge, so no rank needs those of another. Each layer computes them again from
the node features of all earlier layers, which atoms send to their neighbours together. Pairs of edges are summed with
the addition theorem of spherical harmonics: the sum over the neighbours of an atom is one set of moments, from which
each edge subtracts its own term. The time is linear in the number of neighbours.
"""

import math

import torch
from torch import Tensor

from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.m3gnet.bases import ACTIVATIONS, radial_functions, threebody_envelope
from mlip_lammps.families.m3gnet.spec import M3GNetModel
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.kernels.operators import LayerOperators, NoOperators
from mlip_lammps.kernels.torch.rows import select_rows, sum_rows
from mlip_lammps.kernels.torch.spherical_harmonics import spherical_harmonics

_CHUNK_ATOMS = 32
"""Centres of a call: the features of their edges fill the cache."""


class M3GNetLayers(LayeredModel):
    """A potential for some of its elements as a chain of one layer for each block."""

    def __init__(self, trained: M3GNetModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff
        spec = trained.spec
        self.feature_widths = tuple(t * spec.node_width for t in range(1, spec.n_blocks))

    @property
    def skip_widths(self) -> tuple[int, ...]:
        return self.feature_widths  # the same features, of the centres

    @property
    def has_pair_functions(self) -> bool:
        return True  # features before the first block depend on the element only and are not sent

    @property
    def is_smooth_at_cutoff(self) -> bool:
        return self.trained.spec.has_smooth_basis

    def chunk_atoms(self) -> int:
        return _CHUNK_ATOMS

    def chain(self, dtype: str, operators: LayerOperators | NoOperators) -> "M3GNetChain":
        return M3GNetChain(self.trained, self.atomic_numbers, dtype)


class M3GNetChain(Chain):
    """Distances and radial functions in float64, networks in the precision of the features."""

    def __init__(self, trained: M3GNetModel, atomic_numbers: tuple[int, ...], dtype: str):
        super().__init__(dtype, trained.n_layers)
        self.spec = spec = trained.spec
        rows = [spec.atomic_numbers.index(number) for number in atomic_numbers]
        weights = Weights(trained.weights, self.precision.features)
        self.embedding = weights["embedding.layer_node_embedding.weight"][rows].contiguous()
        self.edge_embedding = weights.linear("embedding.layer_edge_embedding.layers.0")
        self.blocks = [_Block(weights, block, spec.node_width) for block in range(spec.n_blocks)]
        self.readout = _GatedNetwork(weights, "final_layer.gated", 4, is_last_linear=True)
        self.scale = float(trained.weights["scale"])
        self.constants = torch.from_numpy(trained.weights["constants"]).to(torch.float64)[rows].contiguous()

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        geometry = _Geometry(self, graph)
        centres = [self.embedding.index_select(0, graph.centre_species)]
        if skips is not None:
            centres += skips.split(self.spec.node_width, dim=1)
        sources = [(self.embedding, graph.neighbour_species())]
        if features is not None:
            sources += [(one, graph.edge_neighbour) for one in features.split(self.spec.node_width, dim=1)]

        weight, bias = self.edge_embedding
        edges = ACTIVATIONS[self.spec.activation](geometry.radial @ weight + bias)
        for block, own, source in zip(self.blocks, centres, sources, strict=False):
            edges = block.edges(geometry, edges, own, *source)
        nodes = centres[-1] + self.blocks[t - 1].messages(geometry, edges, centres[-1], *sources[-1])
        if t == self.n_layers:
            energies = self.readout(nodes)[:, 0].to(torch.float64)
            return {}, energies * self.scale + self.constants.index_select(0, graph.centre_species)
        sent = torch.cat([*centres[1:], nodes], dim=1)
        return {f"features_{t}": sent, f"skips_{t}": sent}, nodes.new_zeros(graph.n_local, dtype=torch.float64)


class _Geometry:
    """Functions of the edge vectors in the precision of the features."""

    def __init__(self, chain: M3GNetChain, graph: EdgeGraph):
        spec, dtype = chain.spec, chain.precision.features
        self.centre, self.n_local = graph.edge_centre, graph.n_local
        distances = graph.edge_vectors.square().sum(dim=1).sqrt()
        functions = radial_functions(spec, distances)
        self.radial = functions[:, : spec.n_radial].to(dtype)
        envelope = threebody_envelope(spec, distances)[:, None]
        shape = (-1, spec.max_l, spec.max_n)
        self.sent = (functions * envelope).to(dtype).view(shape)
        unit_vectors = graph.edge_vectors / distances[:, None]
        harmonics = spherical_harmonics(unit_vectors, spec.max_l - 1).to(dtype)
        self.harmonics = harmonics.split([2 * order + 1 for order in range(spec.max_l)], dim=1)
        norms = [math.sqrt(4.0 * math.pi * (2 * order + 1)) for order in range(spec.max_l)]
        self.received = [(envelope / norm).to(dtype) for norm in norms]

    def threebody_sums(self, factors: Tensor) -> Tensor:
        """Return the sums over the other edges of each edge's centre, shape (n_edges, n_threebody).

        Parameters
        ----------
        factors
            Factors of the neighbour of each edge, shape (n_edges, n_threebody).
        """
        sent = self.sent * factors.view(self.sent.shape)
        columns = []
        for order, harmonics in enumerate(self.harmonics):
            own = sent[:, order]
            terms = harmonics[:, :, None] * own[:, None, :]
            moments = sum_rows(terms, self.centre, self.n_local)
            every = (harmonics[:, :, None] * select_rows(moments, self.centre)).sum(dim=1)
            columns.append(self.received[order] * (every - (2 * order + 1) * own))
        return torch.cat(columns, dim=1)


class _Block:
    """Updates of edges and nodes."""

    def __init__(self, weights: Weights, block: int, node_width: int):
        threebody, graph = f"three_body_interactions.{block}", f"graph_layers.{block}.conv"
        self.factors = weights.linear(f"{threebody}.update_network_atom.layers.0")
        self.threebody = _GatedNetwork(weights, f"{threebody}.update_network_bond", 1)
        self.networks = {}
        for kind in ("edge", "node"):
            network = _EdgeNetwork(weights, f"{graph}.{kind}_update_func", node_width)
            self.networks[kind] = network, weights[f"{graph}.{kind}_weight_func.weight"].T.contiguous()

    def edges(self, geometry: _Geometry, edges: Tensor, own: Tensor, sources: Tensor, rows: Tensor) -> Tensor:
        """Return the edge features after this block, shape (n_edges, edge_width).

        Parameters
        ----------
        own
            Node features of the centres before this block.
        sources, rows
            Node features of neighbours before this block, and the row of each edge's neighbour in them.
        """
        weight, bias = self.factors
        factors = select_rows(torch.sigmoid(sources @ weight + bias), rows)
        edges = edges + self.threebody(geometry.threebody_sums(factors))
        return edges + self._update("edge", geometry, edges, own, sources, rows)

    def messages(self, geometry: _Geometry, edges: Tensor, own: Tensor, sources: Tensor, rows: Tensor) -> Tensor:
        """Return the sums over neighbours of this block, shape (n_local, node_width), see ``edges``."""
        update = self._update("node", geometry, edges, own, sources, rows)
        return sum_rows(update, geometry.centre, geometry.n_local)

    def _update(
        self, kind: str, geometry: _Geometry, edges: Tensor, own: Tensor, sources: Tensor, rows: Tensor
    ) -> Tensor:
        network, weight = self.networks[kind]
        return network(geometry.centre, edges, own, sources, rows) * (geometry.radial @ weight)


class _GatedNetwork:
    """A network times the sigmoid of another one. The first linear map is that of both, side by side."""

    def __init__(self, weights: Weights, name: str, n_linear: int, is_last_linear: bool = False):
        both = [weights.linear(f"{name}.{part}.0") for part in ("layers", "gates")]
        self.weight = torch.cat([weight for weight, _ in both], dim=1)
        self.bias = torch.cat([bias for _, bias in both])
        self.further = [
            [weights.linear(f"{name}.{part}.{2 * k}") for k in range(1, n_linear)] for part in ("layers", "gates")
        ]
        self.is_last_linear = is_last_linear

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.after_first(inputs @ self.weight + self.bias)

    def after_first(self, hidden: Tensor) -> Tensor:
        """Return the result from that of the first linear map."""
        values, gates = hidden.chunk(2, dim=1)
        for (weight, bias), (gate_weight, gate_bias) in zip(*self.further, strict=True):
            values = torch.nn.functional.silu(values) @ weight + bias
            gates = torch.nn.functional.silu(gates) @ gate_weight + gate_bias
        return (values if self.is_last_linear else torch.nn.functional.silu(values)) * torch.sigmoid(gates)


class _EdgeNetwork(_GatedNetwork):
    """A gated network of the features of centre, neighbour and edge; those of atoms are mapped once for each atom."""

    def __init__(self, weights: Weights, name: str, node_width: int):
        super().__init__(weights, name, 3)
        edge_width = len(self.weight) - 2 * node_width
        self.own, self.source, self.edge = self.weight.split([node_width, node_width, edge_width])

    def __call__(self, centre: Tensor, edges: Tensor, own: Tensor, sources: Tensor, rows: Tensor) -> Tensor:
        hidden = select_rows(own @ self.own + self.bias, centre) + select_rows(sources @ self.source, rows)
        return self.after_first(hidden + edges @ self.edge)
