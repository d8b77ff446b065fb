"""M3GNet as a chain of layers of torch functions.

Edge features stay with their edge, so no rank needs those of another. Each layer computes them again from the node
features of all earlier blocks, which atoms send to their neighbours together. Pairs of edges are summed with the
addition theorem of spherical harmonics: the sum over the neighbours of an atom is one set of moments, from which each
edge subtracts its own term. The time is linear in the number of neighbours.

With incoming messages, an atom computes the features of the edges that its neighbours have to it. These contain sums
over the other edges of the neighbours. Each block then has two layers: the first computes the moments, which atoms send
as well, and the second the messages.
"""

import math
from typing import NamedTuple

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
        self._skip_widths = self.feature_widths  # the same features, of the centres
        if spec.has_incoming_messages:
            nodes = [block * spec.node_width for block in range(spec.n_blocks + 1)]
            moments = [block * spec.n_moments for block in range(spec.n_blocks + 1)]
            kept = [(nodes[b - 1] + moments[b], nodes[b] + moments[b]) for b in range(1, spec.n_blocks + 1)]
            self._skip_widths = tuple(width for pair in kept for width in pair)[:-1]
            self.feature_widths = tuple(width for first, _ in kept for width in (first, spec.node_width))[:-1]

    @property
    def skip_widths(self) -> tuple[int, ...]:
        return self._skip_widths

    @property
    def has_pair_functions(self) -> bool:
        return True  # features before the first block depend on the element only and are not sent

    @property
    def is_smooth_at_cutoff(self) -> bool:
        return self.trained.spec.has_smooth_basis

    def chunk_atoms(self) -> int:
        return _CHUNK_ATOMS

    def chain(self, dtype: str, operators: LayerOperators | NoOperators) -> "M3GNetChain":
        kind = IncomingChain if self.trained.spec.has_incoming_messages else M3GNetChain
        return kind(self.trained, self.atomic_numbers, dtype)


class _Atoms(NamedTuple):
    """Node features of the atoms at one end of the edges, and the row of each edge's atom in them."""

    features: Tensor
    rows: Tensor


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
        own, neighbours = self.nodes(graph, features, skips)
        edges = self.first_edges(geometry)
        for block, start, end in zip(self.blocks, own, neighbours, strict=False):
            factors = block.factors(end)
            sums = geometry.threebody_sums(geometry.moments(factors), geometry.centre, factors)
            edges = block.edges(geometry, edges, start, end, sums)
        nodes = own[-1].features + self.blocks[t - 1].messages(geometry, edges, own[-1], neighbours[-1])
        if t == self.n_layers:
            return {}, self.energies(graph, nodes)
        sent = torch.cat([*(one.features for one in own[1:]), nodes], dim=1)
        return {f"features_{t}": sent, f"skips_{t}": sent}, nodes.new_zeros(graph.n_local, dtype=torch.float64)

    def nodes(
        self, graph: EdgeGraph, features: Tensor | None, kept: Tensor | None
    ) -> tuple[list[_Atoms], list[_Atoms]]:
        """Return the node features of centres and of neighbours before each block that they are known for."""
        own, neighbours = [self.embedding.index_select(0, graph.centre_species)], []
        if kept is not None:
            own += kept.split(self.spec.node_width, dim=1)
        if features is not None:
            neighbours += features.split(self.spec.node_width, dim=1)
        return [_Atoms(one, graph.edge_centre) for one in own], [
            _Atoms(self.embedding, graph.neighbour_species()),
            *(_Atoms(one, graph.edge_neighbour) for one in neighbours),
        ]

    def first_edges(self, geometry: "_Geometry") -> Tensor:
        weight, bias = self.edge_embedding
        return ACTIVATIONS[self.spec.activation](geometry.radial @ weight + bias)

    def energies(self, graph: EdgeGraph, nodes: Tensor) -> Tensor:
        energies = self.readout(nodes)[:, 0].to(torch.float64)
        return energies * self.scale + self.constants.index_select(0, graph.centre_species)


class IncomingChain(M3GNetChain):
    """Two layers for each block: moments of atoms, then the messages of the edges to an atom."""

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        geometry, n_before = _Geometry(self, graph), (t - 1) // 2
        n_nodes = n_before * self.spec.node_width
        kept, kept_moments = (None, None) if skips is None else (skips[:, :n_nodes], skips[:, n_nodes:])
        if t % 2 == 1:
            _, neighbours = self.nodes(graph, features, None)  # of the block before, sent alone
            moments = geometry.moments(self.blocks[n_before].factors(neighbours[-1]))
            sent = moments if skips is None else torch.cat([skips, moments], dim=1)
            return {f"features_{t}": sent, f"skips_{t}": sent}, sent.new_zeros(graph.n_local, dtype=torch.float64)

        known = (features[:, :n_nodes], kept) if n_nodes else (None, None)
        own, neighbours = self.nodes(graph, *known)
        moments = features[:, n_nodes:].split(self.spec.n_moments, dim=1)
        edges = self.first_edges(geometry)
        for block, start, end, of_start in zip(self.blocks, neighbours, own, moments, strict=False):
            sums = geometry.threebody_sums(of_start, graph.edge_neighbour, block.factors(end), is_incoming=True)
            edges = block.edges(geometry, edges, start, end, sums)
        nodes = own[-1].features + self.blocks[n_before].messages(geometry, edges, neighbours[-1], own[-1])
        if t == self.n_layers:
            return {}, self.energies(graph, nodes)
        kept = torch.cat([*(one.features for one in own[1:]), nodes, kept_moments], dim=1)
        return {f"features_{t}": nodes, f"skips_{t}": kept}, nodes.new_zeros(graph.n_local, dtype=torch.float64)


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

    def moments(self, factors: Tensor) -> Tensor:
        """Return the sums over the edges of each atom, shape (n_local, n_moments).

        Parameters
        ----------
        factors
            Factors of the neighbour of each edge, shape (n_edges, n_threebody).
        """
        sent = self.sent * factors.view(self.sent.shape)
        terms = [harmonics[:, :, None] * sent[:, None, order] for order, harmonics in enumerate(self.harmonics)]
        return sum_rows(torch.cat([one.flatten(1) for one in terms], dim=1), self.centre, self.n_local)

    def threebody_sums(self, moments: Tensor, rows: Tensor, factors: Tensor, is_incoming: bool = False) -> Tensor:
        """Return the sums over the other edges of the atom where each edge starts, shape (n_edges, n_threebody).

        Parameters
        ----------
        moments, rows
            Moments of these atoms, and the row of each edge's atom in them.
        factors
            Factors of the atom where each edge ends, shape (n_edges, n_threebody).
        is_incoming
            Whether edges start at the neighbours and end at the centres.
        """
        own_terms = self.sent * factors.view(self.sent.shape)
        widths = [harmonics.shape[1] * own_terms.shape[2] for harmonics in self.harmonics]
        columns = []
        for order, of_order in enumerate(moments.split(widths, dim=1)):
            harmonics, own = self.harmonics[order], own_terms[:, order]
            sign = -1.0 if is_incoming and order % 2 == 1 else 1.0
            selected = select_rows(of_order, rows).view(-1, harmonics.shape[1], own.shape[1])
            every = sign * (harmonics[:, :, None] * selected).sum(dim=1)
            columns.append(self.received[order] * (every - (2 * order + 1) * own))
        return torch.cat(columns, dim=1)


class _Block:
    """Updates of edges and nodes."""

    def __init__(self, weights: Weights, block: int, node_width: int):
        threebody, graph = f"three_body_interactions.{block}", f"graph_layers.{block}.conv"
        self.atom_network = weights.linear(f"{threebody}.update_network_atom.layers.0")
        self.threebody = _GatedNetwork(weights, f"{threebody}.update_network_bond", 1)
        self.networks = {}
        for kind in ("edge", "node"):
            network = _EdgeNetwork(weights, f"{graph}.{kind}_update_func", node_width)
            self.networks[kind] = network, weights[f"{graph}.{kind}_weight_func.weight"].T.contiguous()

    def factors(self, end: _Atoms) -> Tensor:
        """Return the factors of the atom where each edge ends, shape (n_edges, n_threebody)."""
        weight, bias = self.atom_network
        return select_rows(torch.sigmoid(end.features @ weight + bias), end.rows)

    def edges(self, geometry: _Geometry, edges: Tensor, start: _Atoms, end: _Atoms, sums: Tensor) -> Tensor:
        """Return the edge features after this block, shape (n_edges, edge_width).

        Parameters
        ----------
        start, end
            Atoms of the edges, with node features before this block.
        sums
            Sums over pairs of edges, shape (n_edges, n_threebody).
        """
        edges = edges + self.threebody(sums)
        return edges + self._update("edge", geometry, edges, start, end)

    def messages(self, geometry: _Geometry, edges: Tensor, start: _Atoms, end: _Atoms) -> Tensor:
        """Return the sums over the edges of each centre, shape (n_local, node_width), see ``edges``."""
        return sum_rows(self._update("node", geometry, edges, start, end), geometry.centre, geometry.n_local)

    def _update(self, kind: str, geometry: _Geometry, edges: Tensor, start: _Atoms, end: _Atoms) -> Tensor:
        network, weight = self.networks[kind]
        return network(edges, start, end) * (geometry.radial @ weight)


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
    """A gated network of the features of both atoms and of the edge; those of atoms are mapped once for each atom."""

    def __init__(self, weights: Weights, name: str, node_width: int):
        super().__init__(weights, name, 3)
        edge_width = len(self.weight) - 2 * node_width
        self.start, self.end, self.edge = self.weight.split([node_width, node_width, edge_width])

    def __call__(self, edges: Tensor, start: _Atoms, end: _Atoms) -> Tensor:
        hidden = select_rows(start.features @ self.start + self.bias, start.rows)
        hidden = hidden + select_rows(end.features @ self.end, end.rows)
        return self.after_first(hidden + edges @ self.edge)
