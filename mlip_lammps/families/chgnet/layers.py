"""CHGNet as a chain of layers of torch functions.

An edge shorter than the bond cutoff is a bond. Each layer updates bonds with sums over the angles at both of their
atoms, and a rank has the angles of its own atoms only. Atoms therefore send the sums of their bonds to their
neighbours, in rows of `MAX_BONDS` bonds, each with its vector. The receiver takes the row whose vector is the opposite
of its own. Angles stay with their atom: each layer computes their features again from those of bonds and atoms in all
earlier layers, which the skip connection contains.
"""

import torch
from torch import Tensor

from mlip_lammps.families.bond_graph.bonds import MAX_BONDS, Bonds
from mlip_lammps.families.bond_graph.features import BondFeatures
from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.chgnet.bases import angular_functions, radial_functions
from mlip_lammps.families.chgnet.networks import EdgeNetwork, Readout, angle_network
from mlip_lammps.families.chgnet.spec import MAGMOMS, CHGNetModel, CHGNetSpec
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.kernels.operators import LayerOperators, NoOperators
from mlip_lammps.kernels.torch.rows import select_rows, sum_rows
from mlip_lammps.model_file.contract import NODE_PROPERTIES

_CHUNK_ATOMS = 128


class CHGNetLayers(LayeredModel):
    """A potential for some of its elements as a chain of one layer for each update of the atoms."""

    max_bonds = MAX_BONDS
    node_properties = (MAGMOMS,)

    def __init__(self, trained: CHGNetModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff
        self.angle_cutoff = trained.spec.bond_cutoff
        self.feature_widths = (_layout(trained.spec).width,) * (trained.n_layers - 1)

    @property
    def skip_widths(self) -> tuple[int, ...]:
        """Widths of the features of the centre after each layer, and of as many features of each of its bonds."""
        spec = self.trained.spec
        return tuple(t * (spec.atom_width + MAX_BONDS * spec.bond_width) for t in range(1, spec.n_layers))

    def chunk_atoms(self) -> int:
        return _CHUNK_ATOMS

    def chain(self, dtype: str, operators: LayerOperators | NoOperators) -> "CHGNetChain":
        return CHGNetChain(self.trained, self.atomic_numbers, dtype)


def _layout(spec: CHGNetSpec) -> BondFeatures:
    """Return the layout of the features of an atom.

    Its part of the first linear map of core and gate of its neighbours' messages, and its bonds.
    """
    return BondFeatures(2 * (*spec.atom_hidden, spec.atom_width)[0], spec.bond_width)


class CHGNetChain(Chain):
    """Distances, angles and their functions in float64, networks in the precision of the features."""

    def __init__(self, trained: CHGNetModel, atomic_numbers: tuple[int, ...], dtype: str):
        super().__init__(dtype, trained.n_layers)
        self.spec, self.layout = trained.spec, _layout(trained.spec)
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
            angle_network(weights, spec, f"bond_conv_layers.{t}.twoBody_bond", spec.bond_hidden) for t in range(n - 1)
        ]
        self.bond_outputs = [weights.linear(f"bond_conv_layers.{t}.mlp_out.layers.1")[0] for t in range(n - 1)]
        self.angles = [
            angle_network(weights, spec, f"angle_layers.{t}.twoBody_bond", spec.angle_hidden) for t in range(n - 2)
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
        messages = self.bonds[t - 1](bonds, states, states, angles, after)
        sums = bonds.sums_over_angles(messages)
        rows = torch.cat([sums, bonds.vectors.detach().to(sums.dtype)], dim=1)
        handed = {
            f"features_{t}": self.layout.join(after @ self.atoms[t].source, bonds.by_atom(rows)),
            f"skips_{t}": torch.cat(
                [*nodes[1:], after, bonds.by_atom(torch.cat([*updates, sums], dim=1)).view(graph.n_local, -1)], dim=1
            ),
        }
        return handed, bonds.energies_of_too_many()

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
        return nodes, updates, select_rows(self.layout.own(features), graph.edge_neighbour)

    def _angles(self, bonds: "_Bonds", nodes: list[Tensor], updates: list[Tensor]) -> Tensor:
        """Return the features of angles after the earlier layers, shape (n_ordered_angles, angle_width)."""
        angles = bonds.angles
        for network, own, update in zip(self.angles, nodes, updates, strict=False):
            states = bonds.features + update
            angles = angles + network(bonds, states, states, angles, own)
        return angles


class _Bonds(Bonds):
    """Bonds and ordered angles, and their functions.

    Attributes
    ----------
    features, angles
        Features of bonds and ordered angles before the first layer.
    """

    def __init__(self, chain: CHGNetChain, graph: EdgeGraph):
        spec, dtype = chain.spec, chain.precision.features
        super().__init__(graph, spec.bond_cutoff, 2.0 * spec.cutoff, dtype)
        edge_functions = radial_functions(spec, self.distances, chain.edge_frequencies, spec.cutoff)
        self.features = edge_functions.to(dtype) @ chain.bond_embedding
        bond_functions = radial_functions(spec, self.distances, chain.bond_frequencies, spec.bond_cutoff)
        self._weights = bond_functions.to(dtype) @ chain.bond_weights
        ends = (select_rows(self.units, one) for one in self.pairs)
        angles = angular_functions(*ends, chain.angle_frequencies).to(dtype) @ chain.angle_embedding
        self.angles = torch.cat([angles, angles])

    def sums_over_angles(self, messages: Tensor) -> Tensor:
        """Return the weighted sums of the messages of angles to their first bond, shape (n_bonds, bond_width)."""
        messages = messages * select_rows(self._weights, self.second)
        return sum_rows(messages, self.first, self._weights.shape[0]) * self._weights
