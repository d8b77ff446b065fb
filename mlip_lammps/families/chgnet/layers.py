"""CHGNet as a chain of layers of torch functions.

An edge shorter than the bond cutoff is a bond. Each layer updates bonds with sums over the angles at both of their
atoms, and a rank has the angles of its own atoms only. Atoms therefore send the sums of their bonds to their
neighbours, in rows of `MAX_BONDS` bonds, each with its vector. The receiver takes the row whose vector is the opposite
of its own. Angles stay with their atom: each layer computes their features again from those of bonds and atoms in all
earlier layers, which the skip connection contains.
"""

from typing import Any

import torch
from torch import Tensor

from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.chgnet.bases import angular_functions, radial_functions
from mlip_lammps.families.chgnet.networks import AngleNetwork, EdgeNetwork, Readout
from mlip_lammps.families.chgnet.spec import MAGMOMS, CHGNetModel
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.kernels.operators import LayerOperators, NoOperators
from mlip_lammps.kernels.torch.rows import select_rows, sum_rows
from mlip_lammps.model_file.contract import NODE_PROPERTIES

MAX_BONDS = 40
"""Bonds of an atom in a row. The sphere of 3 angstrom around an atom has 28 in diamond and 14 in iron."""
_CHUNK_ATOMS = 128
_SAME_VECTOR = 1e-2
"""Angstrom. Vectors of one bond differ by rounding to float32; those of two bonds by the distance of two atoms."""
_PADDING = 2
"""Rows after those of the bonds: of angles between padding edges. A size of 0 or 1 would need another program."""


class CHGNetLayers(LayeredModel):
    """A potential for some of its elements as a chain of one layer for each update of the atoms."""

    max_bonds = MAX_BONDS
    node_properties = (MAGMOMS,)

    def __init__(self, trained: CHGNetModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff
        self.angle_cutoff = trained.spec.bond_cutoff
        layout = _Layout(trained)
        self.feature_widths = (layout.width,) * (trained.n_layers - 1)

    @property
    def skip_widths(self) -> tuple[int, ...]:
        """Widths of the features of the centre after each layer, and of as many features of each of its bonds."""
        spec = self.trained.spec
        return tuple(t * (spec.atom_width + MAX_BONDS * spec.bond_width) for t in range(1, spec.n_layers))

    def chunk_atoms(self) -> int:
        return _CHUNK_ATOMS

    def chain(self, dtype: str, operators: LayerOperators | NoOperators) -> "CHGNetChain":
        return CHGNetChain(self.trained, self.atomic_numbers, dtype)


class _Layout:
    """Layout of the features of an atom: blocks of equal width.

    The first two blocks are its part of the first linear map of core and gate of its neighbours' messages. Each further
    block is a bond: the sums over its angles, and at the end its vector.
    """

    def __init__(self, trained: CHGNetModel):
        spec = trained.spec
        self.source_width = (*spec.atom_hidden, spec.atom_width)[0]
        self.bond_width = spec.bond_width
        self.block = max(self.source_width, self.bond_width) + 3
        self.n_blocks = 2 + MAX_BONDS
        self.width = self.block * self.n_blocks

    def join(self, sources: Tensor, bonds: Tensor) -> Tensor:
        """Return features of shape (n_local, width).

        Parameters
        ----------
        sources
            Shape (n_local, 2 * source_width).
        bonds
            Sums and vectors, shape (n_local * MAX_BONDS, bond_width + 3).
        """
        n_local = sources.shape[0]
        sources = sources.view(n_local, 2, self.source_width)
        sources = torch.nn.functional.pad(sources, (0, self.block - self.source_width))
        sums, vectors = bonds.split([self.bond_width, 3], dim=1)
        bonds = torch.nn.functional.pad(sums, (0, self.block - self.bond_width - 3))
        bonds = torch.cat([bonds, vectors], dim=1).view(n_local, MAX_BONDS, self.block)
        return torch.cat([sources, bonds], dim=1).view(n_local, self.width)

    def sources(self, features: Tensor, nodes: Tensor) -> Tensor:
        """Return the linear map of some nodes, shape (n, 2 * source_width)."""
        blocks = features.view(-1, self.n_blocks, self.block)[:, :2, : self.source_width]
        return select_rows(blocks, nodes).reshape(-1, 2 * self.source_width)

    def reverse_sums(self, features: Tensor, nodes: Tensor, vectors: Tensor) -> Tensor:
        """Return the sums of the bonds of some nodes whose vectors are the opposite, shape (n, bond_width).

        They are zero where there is none: rounding decides about bonds at the cutoff, where sums vanish.
        """
        blocks = features.view(-1, self.n_blocks, self.block)
        candidates = blocks[:, 2:, -3:].detach().index_select(0, nodes).to(vectors.dtype)
        apart = (candidates + vectors.detach()[:, None, :]).square().sum(dim=2)
        least, place = apart.min(dim=1)
        rows = select_rows(blocks.view(-1, self.block)[:, : self.bond_width], nodes * self.n_blocks + 2 + place)
        return rows * (least < _SAME_VECTOR**2)[:, None].to(rows.dtype)


class CHGNetChain(Chain):
    """Distances, angles and their functions in float64, networks in the precision of the features."""

    def __init__(self, trained: CHGNetModel, atomic_numbers: tuple[int, ...], dtype: str):
        super().__init__(dtype, trained.n_layers)
        self.spec, self.layout = trained.spec, _Layout(trained)
        rows = [trained.atomic_numbers.index(number) for number in atomic_numbers]
        exact, weights = (Weights(trained.weights, kind) for kind in (torch.float64, self.precision.features))
        self.embedding = weights["atom_embedding.embedding.weight"][rows].contiguous()
        self.constants = exact["constants"][rows].contiguous()
        expansion = "bond_basis_expansion.rbf_expansion"
        self.edge_frequencies = exact[f"{expansion}_ag.frequencies"]
        self.bond_frequencies = exact[f"{expansion}_bg.frequencies"]
        self.angle_frequencies = exact["angle_basis_expansion.fourier_expansion.frequencies"]
        names = ("bond_embedding", "bond_weights_ag", "bond_weights_bg", "angle_embedding")
        self.bond_embedding, self.edge_weights, self.bond_weights, self.angle_embedding = (
            weights.linear(name)[0] for name in names
        )
        n, spec = self.n_layers, self.spec
        self.atoms = [EdgeNetwork(weights, spec, f"atom_conv_layers.{t}", self.bond_embedding) for t in range(n)]
        self.bonds = [
            AngleNetwork(weights, spec, f"bond_conv_layers.{t}.twoBody_bond", spec.bond_hidden) for t in range(n - 1)
        ]
        self.bond_outputs = [weights.linear(f"bond_conv_layers.{t}.mlp_out.layers.1")[0] for t in range(n - 1)]
        self.angles = [
            AngleNetwork(weights, spec, f"angle_layers.{t}.twoBody_bond", spec.angle_hidden) for t in range(n - 2)
        ]
        self.readout, self.moments = Readout(weights, spec), weights.linear("site_wise")

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        bonds = _Bonds(self, graph)
        nodes, updates, sources = self._received(t, graph, bonds, features, skips)
        network = self.atoms[t - 1]
        last = updates[-1] if updates else None
        after = network(graph.edge_centre, self._radial(graph), nodes[-1], sources, bonds.edges, last)
        if t == self.n_layers:
            energies = self.readout(after)[:, 0].to(torch.float64)
            weight, bias = self.moments
            moments = (nodes[-1] @ weight + bias).abs().to(torch.float64)
            return {NODE_PROPERTIES: moments}, energies + self.constants.index_select(0, graph.centre_species)

        angles = self._angles(bonds, nodes[1:], updates)
        states = bonds.features if last is None else bonds.features + last
        messages = self.bonds[t - 1](bonds, states, angles, after)
        sums = bonds.sums_over_angles(messages)
        rows = torch.cat([sums, bonds.vectors.detach().to(sums.dtype)], dim=1)
        handed = {
            f"features_{t}": self.layout.join(after @ self.atoms[t].source, bonds.by_atom(rows)),
            f"skips_{t}": torch.cat(
                [*nodes[1:], after, bonds.by_atom(torch.cat([*updates, sums], dim=1)).view(graph.n_local, -1)], dim=1
            ),
        }
        # an atom with too many bonds has no energy rather than a wrong one
        return handed, torch.where(bonds.counts > MAX_BONDS, torch.nan, 0.0).to(torch.float64)

    def _radial(self, graph: EdgeGraph) -> tuple[Tensor, Tensor]:
        """Return the radial functions of edges and the weights of their messages."""
        distances = graph.edge_vectors.square().sum(dim=1).sqrt()
        radial = radial_functions(self.spec, distances, self.edge_frequencies, self.spec.cutoff)
        radial = radial.to(self.precision.features)
        return radial, radial @ self.edge_weights

    def _received(
        self, t: int, graph: EdgeGraph, bonds: "_Bonds", features: Tensor | None, skips: Tensor | None
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Return what layer ``t`` knows of the earlier ones.

        Returns
        -------
        nodes
            Features of the centres before the first and after each earlier layer, shape (n_local, atom_width).
        updates
            Differences of the bonds' features after each earlier layer to those of their distances, shape (n_bonds,
            bond_width).
        sources
            Linear map of the neighbours' features, shape (n_edges, 2 * source_width).
        """
        embedded = self.embedding.index_select(0, graph.centre_species)
        if skips is None:
            return [embedded], [], (self.embedding @ self.atoms[0].source).index_select(0, graph.neighbour_species())
        n_before, spec = t - 1, self.spec
        of_atoms, of_bonds = skips.split([n_before * spec.atom_width, n_before * MAX_BONDS * spec.bond_width], dim=1)
        own = bonds.from_atoms(of_bonds.reshape(-1, n_before * spec.bond_width)).split(spec.bond_width, dim=1)
        *updates, sums = own
        sums = sums + self.layout.reverse_sums(features, bonds.neighbours, bonds.vectors)
        update = (sums @ self.bond_outputs[t - 2]) * bonds.is_real
        updates.append(updates[-1] + update if updates else update)
        nodes = [embedded, *of_atoms.split(spec.atom_width, dim=1)]
        return nodes, updates, self.layout.sources(features, graph.edge_neighbour)

    def _angles(self, bonds: "_Bonds", nodes: list[Tensor], updates: list[Tensor]) -> Tensor:
        """Return the features of angles after the earlier layers, shape (n_ordered_angles, angle_width)."""
        angles = bonds.angles
        for network, own, update in zip(self.angles, nodes, updates, strict=False):
            angles = angles + network(bonds, bonds.features + update, angles, own)
        return angles


class _RowsOfBonds(torch.autograd.Function):
    """Rows of edges that are bonds.

    An edge is at most one bond, so the gradient needs no sum. With a sum, AOTInductor of torch 2.13 adds the gradient
    of the other use of the edges before the sum is there, and the check of the export fails.
    """

    @staticmethod
    def forward(values: Tensor, edges: Tensor, bond_of_edge: Tensor) -> Tensor:
        return values.index_select(0, edges)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None, None]:
        (bond_of_edge,) = ctx.saved_tensors
        return gradients.index_select(0, bond_of_edge), None, None


class _Bonds:
    """The bonds and the ordered pairs of bonds of each centre.

    Attributes
    ----------
    edges, centres, neighbours
        Edge of each bond, and the atoms of the edge.
    vectors
        Vectors of bonds in angstrom, float64; beyond the cutoff in the rows of padding.
    is_real
        1 for bonds and 0 for padding, shape (n_bonds, 1).
    counts
        Number of bonds of each centre, shape (n_local,).
    first, second
        Bonds of each ordered angle, shape (n_ordered_angles,).
    features, angles
        Features of bonds and ordered angles before the first layer.
    """

    def __init__(self, chain: CHGNetChain, graph: EdgeGraph):
        spec, dtype = chain.spec, chain.precision.features
        lengths = graph.edge_vectors.detach().square().sum(dim=1).sqrt()
        is_bond = lengths < spec.bond_cutoff
        found = is_bond.nonzero()[:, 0]
        n_bonds = found.shape[0]
        self.edges = torch.cat([found, found.new_zeros(_PADDING)])
        is_real = torch.cat([torch.ones_like(found), found.new_zeros(_PADDING)])[:, None] > 0
        self.is_real = is_real.to(dtype)
        self.centres = graph.edge_centre.index_select(0, self.edges)
        self.neighbours = graph.edge_neighbour.index_select(0, self.edges)
        order = is_bond.cumsum(0)
        bond_of_edge = torch.where(is_bond, order - 1, n_bonds)
        far = torch.full_like(graph.edge_vectors[:1], 2.0 * spec.cutoff)
        found_vectors = _RowsOfBonds.apply(graph.edge_vectors, self.edges, bond_of_edge)
        self.vectors = torch.where(is_real, found_vectors, far)

        self.counts = torch.zeros_like(graph.centre_species).index_add(0, graph.edge_centre, is_bond.to(torch.int64))
        before = self.counts.cumsum(0) - self.counts
        places = order.index_select(0, self.edges) - 1 - before.index_select(0, self.centres)
        rows = self.centres * MAX_BONDS + places.clamp(max=MAX_BONDS - 1)
        self._n_rows = graph.n_local * MAX_BONDS
        self._rows = torch.where(is_real[:, 0], rows, self._n_rows)

        first, second = bond_of_edge.index_select(0, graph.angle_edges.reshape(-1)).view(-1, 2).unbind(1)
        self.first, self.second = torch.cat([first, second]), torch.cat([second, first])

        distances = self.vectors.square().sum(dim=1).sqrt()
        edge_functions = radial_functions(spec, distances, chain.edge_frequencies, spec.cutoff)
        self.features = edge_functions.to(dtype) @ chain.bond_embedding
        bond_functions = radial_functions(spec, distances, chain.bond_frequencies, spec.bond_cutoff)
        self._weights = bond_functions.to(dtype) @ chain.bond_weights
        units = self.vectors / distances[:, None]
        ends = (select_rows(units, one) for one in (first, second))
        angles = angular_functions(*ends, chain.angle_frequencies).to(dtype) @ chain.angle_embedding
        self.angles = torch.cat([angles, angles])

    def sums_over_angles(self, messages: Tensor) -> Tensor:
        """Return the weighted sums of the messages of angles to their first bond, shape (n_bonds, bond_width)."""
        messages = messages * select_rows(self._weights, self.second)
        return sum_rows(messages, self.first, self._weights.shape[0]) * self._weights

    def by_atom(self, values: Tensor) -> Tensor:
        """Return values of bonds in the rows of their centres, shape (n_local * MAX_BONDS, width); others are zero."""
        return sum_rows(values, self._rows, self._n_rows + 1)[: self._n_rows]

    def from_atoms(self, values: Tensor) -> Tensor:
        """Return the inverse of ``by_atom``; rows of padding have any value."""
        return select_rows(values, self._rows.clamp(max=self._n_rows - 1))
