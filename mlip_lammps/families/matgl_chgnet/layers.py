"""MatGL's CHGNet as a chain of layers of torch functions.

An edge shorter than the bond cutoff is a bond. An atom has the features of the edges that come in from its neighbours,
and of the bonds that go out to them. Angles at the atom change the bonds that go out, so atoms send the sums over
angles to their neighbours, in rows of `MAX_BONDS` bonds, each with its vector. The receiver takes the row whose vector
is the opposite of its own. Edges and angles stay with their centre: each layer computes them again from the atoms and
the sums of all earlier layers, which atoms send and the skip connection contains.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mlip_lammps.families.bond_graph.bonds import MAX_BONDS, Bonds
from mlip_lammps.families.bond_graph.features import BondFeatures
from mlip_lammps.families.bond_graph.networks import normalised
from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.matgl_chgnet.bases import activation_function, angular_functions, radial_functions
from mlip_lammps.families.matgl_chgnet.networks import AtomLayer, BondLayer, Readout, Rows
from mlip_lammps.families.matgl_chgnet.spec import MAGMOMS, MatGLCHGNetModel, MatGLCHGNetSpec
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.kernels.operators import LayerOperators, NoOperators
from mlip_lammps.kernels.torch.rows import select_rows, sum_rows
from mlip_lammps.model_file.contract import NODE_PROPERTIES

_CHUNK_ATOMS = 32
"""Centres of a call: the features of their edges fill the cache."""


class MatGLCHGNetLayers(LayeredModel):
    """A potential for some of its elements as a chain of one layer for each update of the atoms."""

    max_bonds = MAX_BONDS

    def __init__(self, trained: MatGLCHGNetModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff
        spec = trained.spec
        self.angle_cutoff = spec.bond_cutoff
        self.feature_widths = tuple(_layout(spec, t).width for t in range(1, spec.n_layers))
        self.node_properties = (MAGMOMS,) if spec.has_moments else ()

    @property
    def skip_widths(self) -> tuple[int, ...]:
        spec = self.trained.spec
        return tuple(sum(_skip_widths(spec, t)) for t in range(1, spec.n_layers))

    @property
    def has_pair_functions(self) -> bool:
        return True  # features before the first layer depend on the element only and are not sent

    @property
    def is_smooth_at_cutoff(self) -> bool:
        return False  # see ``MatGLCHGNetModel.at_cutoff``

    def chunk_atoms(self) -> int:
        return _CHUNK_ATOMS

    def chain(self, dtype: str, operators: LayerOperators | NoOperators) -> "MatGLCHGNetChain":
        return MatGLCHGNetChain(self.trained, self.atomic_numbers, dtype)


def _layout(spec: MatGLCHGNetSpec, t: int) -> BondFeatures:
    """Return the layout of what an atom sends after layer ``t``: its features after each layer so far, and bonds."""
    return BondFeatures(t * spec.atom_width, spec.bond_width)


def _skip_widths(spec: MatGLCHGNetSpec, t: int) -> tuple[int, int, int]:
    """Return the widths of the skip connection after layer ``t``.

    Features of the centre after each layer so far; the sums over angles of the same layers, for its bonds that go out;
    and those of the earlier layers for the bonds that come in.
    """
    return t * spec.atom_width, t * MAX_BONDS * spec.bond_width, (t - 1) * MAX_BONDS * spec.bond_width


class _Known(NamedTuple):
    """What a layer knows of the earlier ones, in lists by layer.

    Attributes
    ----------
    centres, sources
        Features of centres and of neighbours before the first and after each earlier layer.
    outgoing, incoming
        Sums over angles of bonds that go out and that come in, shape (n_bonds, bond_width).
    """

    centres: list[Tensor]
    sources: list[Rows]
    outgoing: list[Tensor]
    incoming: list[Tensor]


class MatGLCHGNetChain(Chain):
    """Distances, angles and their functions in float64, networks in the precision of the features."""

    def __init__(self, trained: MatGLCHGNetModel, atomic_numbers: tuple[int, ...], dtype: str):
        super().__init__(dtype, trained.n_layers)
        self.spec = spec = trained.spec
        rows = [spec.atomic_numbers.index(number) for number in atomic_numbers]
        exact, weights = (Weights(trained.weights, kind) for kind in (torch.float64, self.precision.features))
        self.embedding = weights["atom_embedding.weight"][rows].contiguous()
        self.scale, self.constants = float(trained.weights["scale"]), exact["constants"][rows].contiguous()
        self.activation = activation_function(spec)
        self.edge_frequencies = exact["bond_expansion.frequencies"]
        self.bond_frequencies = exact["threebody_bond_expansion.frequencies"]
        self.angle_frequencies = exact["angle_expansion.frequencies"]
        self.edge_embedding, _ = weights.linear("bond_embedding.layers.0")
        self.angle_embedding, _ = weights.linear("angle_embedding.layers.0")
        self.atoms = [AtomLayer(weights, spec, t) for t in range(spec.n_layers)]
        self.bonds = [BondLayer(weights, spec, t) for t in range(spec.n_layers - 1)]
        self.readout = Readout(weights, spec)
        self.moments = weights.linear("sitewise_readout") if spec.has_moments else None

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        bonds = _Bonds(self, graph)
        known = self._known(t, graph, bonds, features, skips)
        is_last = t == self.n_layers
        edges = _Edges(self, graph, bonds, has_angles=not is_last)
        for s in range(1, t):
            edges.update(self.atoms[s - 1], known.centres[s - 1], known.sources[s - 1])
            edges.normalise(self.atoms[s - 1])
            edges.add_sums(self.bonds[s - 1], known.outgoing[s - 1], known.incoming[s - 1], known.centres[s])
        own, source = known.centres[-1], known.sources[-1]
        layer = self.atoms[t - 1]
        edges.update(layer, own, source)
        after = layer.nodes(own, source, edges.incoming, edges.radial, graph.edge_centre)
        if is_last:
            energies = self.readout(after)[:, 0].to(torch.float64) * self.scale
            return self._properties(own), energies + self.constants.index_select(0, graph.centre_species)

        edges.normalise(layer)
        sums = edges.sums_over_angles(self.bonds[t - 1], after)
        rows = torch.cat([sums, bonds.vectors.detach().to(sums.dtype)], dim=1)
        nodes = torch.cat([*known.centres[1:], after], dim=1)
        of_bonds = (bonds.by_atom(torch.cat(one, dim=1)) for one in ([*known.outgoing, sums], known.incoming) if one)
        handed = {
            f"features_{t}": _layout(self.spec, t).join(nodes, bonds.by_atom(rows)),
            f"skips_{t}": torch.cat([nodes, *(one.view(graph.n_local, -1) for one in of_bonds)], dim=1),
        }
        return handed, bonds.energies_of_too_many()

    def _known(
        self, t: int, graph: EdgeGraph, bonds: "_Bonds", features: Tensor | None, skips: Tensor | None
    ) -> _Known:
        centres = [self.embedding.index_select(0, graph.centre_species)]
        sources = [Rows(self.embedding, graph.neighbour_species())]
        if features is None:
            return _Known(centres, sources, [], [])
        spec, layout = self.spec, _layout(self.spec, t - 1)
        width = spec.bond_width
        of_atoms, going_out, coming_in = skips.split(list(_skip_widths(spec, t - 1)), dim=1)
        centres += of_atoms.split(spec.atom_width, dim=1)
        sent = layout.own(features).split(spec.atom_width, dim=1)
        sources += [Rows(one, graph.edge_neighbour) for one in sent]
        outgoing = bonds.from_atoms(going_out.reshape(-1, (t - 1) * width)).split(width, dim=1)
        incoming = []
        if t > 2:
            incoming += bonds.from_atoms(coming_in.reshape(-1, (t - 2) * width)).split(width, dim=1)
        incoming.append(layout.reverse_sums(features, bonds.neighbours, bonds.vectors))
        return _Known(centres, sources, list(outgoing), incoming)

    def _properties(self, nodes: Tensor) -> Named:
        if self.moments is None:
            return {}
        weight, bias = self.moments
        return {NODE_PROPERTIES: (nodes @ weight + bias).to(torch.float64)}


class _Bonds(Bonds):
    """Bonds and ordered angles, and their functions.

    Attributes
    ----------
    radial
        Radial functions of bonds with the bond cutoff.
    functions
        Functions of ``pairs``.
    """

    def __init__(self, chain: MatGLCHGNetChain, graph: EdgeGraph):
        spec, dtype = chain.spec, chain.precision.features
        super().__init__(graph, spec.bond_cutoff, 2.0 * spec.cutoff, dtype)
        self.radial = radial_functions(spec, self.distances, chain.bond_frequencies, spec.bond_cutoff).to(dtype)
        ends = (select_rows(self.units, one) for one in self.pairs)
        self.functions = angular_functions(*ends, chain.angle_frequencies).to(dtype)


class _Edges:
    """Features of edges and angles from layer to layer.

    Attributes
    ----------
    radial
        Radial functions of edges, shape (n_edges, n_radial).
    incoming
        Features of the edges from neighbours to their centre, shape (n_edges, bond_width).
    outgoing
        Features of the bonds from the centre to its neighbours, shape (n_bonds, bond_width); None without angles.
    angles
        Features of ordered angles: between ``Bonds.first``, which comes in, and ``Bonds.second``, which goes out.
    """

    def __init__(self, chain: MatGLCHGNetChain, graph: EdgeGraph, bonds: _Bonds, has_angles: bool):
        spec, self._graph, self._bonds = chain.spec, graph, bonds
        distances = graph.edge_vectors.square().sum(dim=1).sqrt()
        functions = radial_functions(spec, distances, chain.edge_frequencies, spec.cutoff)
        self.radial = functions.to(chain.precision.features)
        self.incoming = self.radial @ chain.edge_embedding
        if spec.has_bond_activation:
            self.incoming = chain.activation(self.incoming)
        self.outgoing = self.angles = None
        if has_angles:
            self._bond_radial = bonds.of_edges(self.radial)
            self.outgoing = bonds.of_edges(self.incoming)
            angles = bonds.functions @ chain.angle_embedding
            angles = chain.activation(angles) if spec.has_angle_activation else angles
            self.angles = torch.cat([angles, angles])

    def update(self, layer: AtomLayer, own: Tensor, source: Rows) -> None:
        """Add the update of edges with their atoms."""
        if layer.edge_network is None:
            return
        centres = Rows(own, self._graph.edge_centre)
        self.incoming = self.incoming + layer.edge_updates(source, self.incoming, centres, self.radial)
        if self.outgoing is not None:
            bonds = self._bonds
            ends = Rows(own, bonds.centres), Rows(source.values, source.rows.index_select(0, bonds.edges))
            self.outgoing = self.outgoing + layer.edge_updates(ends[0], self.outgoing, ends[1], self._bond_radial)

    def normalise(self, layer: AtomLayer) -> None:
        """Normalise the features of edges after an update of the atoms."""
        self.incoming = normalised(self.incoming, layer.edge_norm)
        if self.outgoing is not None:
            self.outgoing = normalised(self.outgoing, layer.edge_norm)

    def sums_over_angles(self, layer: BondLayer, nodes: Tensor) -> Tensor:
        """Return the sums of messages to the bonds that go out, shape (n_bonds, bond_width)."""
        bonds = self._bonds
        weights = layer.weights(bonds.radial)
        incoming = bonds.of_edges(self.incoming)
        messages = layer.messages(bonds, incoming, self.outgoing, self.angles, nodes)
        messages = messages * select_rows(weights, bonds.first)
        return sum_rows(messages, bonds.second, weights.shape[0]) * weights

    def add_sums(self, layer: BondLayer, outgoing: Tensor, incoming: Tensor, nodes: Tensor) -> None:
        """Update bonds with the sums of their messages, and then angles; ``nodes`` are those after the layer."""
        bonds = self._bonds
        self.incoming = self.incoming + bonds.to_edges(incoming @ layer.output)
        if self.outgoing is None:
            return
        self.outgoing = self.outgoing + (outgoing @ layer.output) * bonds.is_real
        if layer.angle_updates is not None:
            ends = bonds.of_edges(self.incoming), self.outgoing
            self.angles = self.angles + layer.angle_updates(bonds, *ends, self.angles, nodes)
