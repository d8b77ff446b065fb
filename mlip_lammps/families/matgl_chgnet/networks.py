"""The networks of MatGL's CHGNet: updates of atoms and edges, of bonds and angles, and the readout."""

from typing import NamedTuple

from torch import Tensor

from mlip_lammps.families.bond_graph.networks import AngleNetwork, GatedNetwork, Linear, norm_of, normalised
from mlip_lammps.families.matgl_chgnet.bases import activation_function
from mlip_lammps.families.matgl_chgnet.spec import MatGLCHGNetSpec, atom_layer, bond_layer, readout_names
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.kernels.torch.rows import select_rows, sum_rows


class Rows(NamedTuple):
    """Features of atoms or elements, and the row of each edge in them."""

    values: Tensor
    rows: Tensor

    def mapped(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """Return a linear map of the features of each edge's atom."""
        values = self.values @ weight
        return select_rows(values if bias is None else values + bias, self.rows)


class EdgeNetwork:
    """A gated network of the atom where an edge starts, the edge, and the atom where it ends."""

    def __init__(self, network: GatedNetwork, spec: MatGLCHGNetSpec):
        self._network = network
        parts = network.split({"start": spec.atom_width, "edge": spec.bond_width, "end": spec.atom_width})
        self._start, self._edge, self._end = parts.values()

    def __call__(self, start: Rows, edges: Tensor, end: Rows) -> Tensor:
        hidden = start.mapped(self._start, self._network.bias) + end.mapped(self._end) + edges @ self._edge
        return self._network.after_first(hidden)


class AtomLayer:
    """An update of the atoms with their edges, and of edges with their atoms.

    Attributes
    ----------
    edge_network
        Network of the updates of edges, None without them.
    edge_norm
        Normalisation of edges after the update, None without it.
    """

    def __init__(self, weights: Weights, spec: MatGLCHGNetSpec, t: int):
        name, norms = atom_layer(t), f"atom_graph_layers.{t}"
        self._network = EdgeNetwork(gated_network(weights, spec, f"{name}.node_update_func", spec.atom_hidden), spec)
        self._output, _ = weights.linear(f"{name}.node_out_func")
        self._weights = _edge_weights(weights, spec, "atom_bond_weights", f"{name}.node_weight_func")
        self.edge_network = None
        if spec.edge_hidden is not None:
            network = gated_network(weights, spec, f"{name}.edge_update_func", spec.edge_hidden)
            self.edge_network = EdgeNetwork(network, spec)
            self._edge_weights = _edge_weights(weights, spec, "bond_bond_weights", f"{name}.edge_weight_func")
        self._norm, self.edge_norm = (
            norm_of(weights, f"{norms}.{norm}") if spec.has_norm else None for norm in ("atom_norm", "bond_norm")
        )

    def edge_updates(self, start: Rows, edges: Tensor, end: Rows, radial: Tensor) -> Tensor:
        """Return the updates of edges from their radial functions and atoms, shape (n_edges, bond_width)."""
        return self.edge_network(start, edges, end) * _product(self._edge_weights, radial)

    def nodes(self, nodes: Tensor, source: Rows, edges: Tensor, radial: Tensor, centre: Tensor) -> Tensor:
        """Return the features of the centres after the update, shape (n_local, atom_width).

        Parameters
        ----------
        source
            Features of neighbours.
        edges
            Features of the edges that come in.
        """
        messages = self._network(source, edges, Rows(nodes, centre)) * _product(self._weights, radial)
        return normalised(nodes + sum_rows(messages, centre, nodes.shape[0]) @ self._output, self._norm)


class BondLayer:
    """An update of bonds with their angles, and of angles.

    Attributes
    ----------
    output
        Linear map of the sums of messages.
    messages
        Network of the messages of angles.
    angle_updates
        Network of the updates of angles, None without them.
    """

    def __init__(self, weights: Weights, spec: MatGLCHGNetSpec, t: int):
        name, bond = bond_layer(t), spec.bond_width
        widths = {"first": bond, "angle": spec.angle_width, "own": spec.atom_width, "second": bond}
        self.messages = AngleNetwork(
            gated_network(weights, spec, f"{name}.node_update_func", spec.bond_hidden), widths
        )
        self.output, _ = weights.linear(f"{name}.node_out_func")
        self._weights = [weights.linear("threebody_bond_weights")]
        if spec.has_bond_layer_weights:
            self._weights.append(weights.linear(f"{name}.node_weight_func"))
        self.angle_updates = None
        if spec.angle_hidden is not None:
            network = gated_network(weights, spec, f"{name}.edge_update_func", spec.angle_hidden)
            self.angle_updates = AngleNetwork(network, widths)

    def weights(self, radial: Tensor) -> Tensor:
        """Return the weights of bonds in messages from their radial functions, shape (n_bonds, bond_width)."""
        return _product(self._weights, radial)


class Readout:
    """The network from an atom's features to its energy."""

    def __init__(self, weights: Weights, spec: MatGLCHGNetSpec):
        self._activation = activation_function(spec)
        n_linear = len(spec.readout_hidden) + 1
        parts = [[Linear.of(weights, f"{name}.layers.{k}") for k in range(n_linear)] for name in readout_names(spec)]
        self._linear, self._network = parts[0], None
        if spec.has_gated_readout:
            self._network = GatedNetwork(self._activation, *parts, is_activated=False)

    def __call__(self, nodes: Tensor) -> Tensor:
        if self._network is not None:
            return self._network(nodes)
        first, *further = self._linear
        values = first(nodes)
        for linear in further:
            values = linear(self._activation(values))
        return values


def gated_network(weights: Weights, spec: MatGLCHGNetSpec, name: str, hidden: tuple[int, ...]) -> GatedNetwork:
    """Return a gated network by its name."""
    n_linear, parts = len(hidden) + 1, []
    for part in ("value", "gate"):
        norms: list[str | None] = [None] * n_linear
        if spec.has_norm:
            places = range(n_linear) if spec.has_hidden_norms else [n_linear - 1]
            for number, place in enumerate(places):
                norms[place] = f"{name}.{part}.norms.{number}"
        parts.append([Linear.of(weights, f"{name}.{part}.layers.{k}", norms[k]) for k in range(n_linear)])
    return GatedNetwork(activation_function(spec), *parts)


def _edge_weights(weights: Weights, spec: MatGLCHGNetSpec, shared: str, own: str) -> list[tuple[Tensor, Tensor]]:
    """Return the linear maps whose product is the weight of a message: that of all layers, and that of one layer."""
    has_weights = {shared: spec.has_shared_weights, own: spec.has_layer_weights}
    return [weights.linear(name) for name, has_it in has_weights.items() if has_it]


def _product(linear: list[tuple[Tensor, Tensor]], radial: Tensor) -> Tensor:
    """Return the product of linear maps of radial functions."""
    (weight, bias), *further = linear
    product = radial @ weight + bias
    for weight, bias in further:
        product = product * (radial @ weight + bias)
    return product
