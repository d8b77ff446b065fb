"""The networks of CHGNet: gated networks of edges and angles, and the readout."""

from torch import Tensor

from mlip_lammps.families.bond_graph.networks import AngleNetwork, GatedNetwork, Linear, norm_of, normalised
from mlip_lammps.families.chgnet.bases import ACTIVATIONS
from mlip_lammps.families.chgnet.spec import CHGNetSpec, linear_names
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.kernels.torch.rows import select_rows, sum_rows


def gated_network(weights: Weights, spec: CHGNetSpec, name: str, hidden: tuple[int, ...]) -> GatedNetwork:
    """Return a gated network by its name."""
    parts = []
    for part, norm in (("mlp_core", "bn1"), ("mlp_gate", "bn2")):
        *first, last = linear_names(f"{name}.{part}", len(hidden) + 1)
        last_linear = Linear.of(weights, last, f"{name}.{norm}" if spec.has_norm else None)
        parts.append([*(Linear.of(weights, linear) for linear in first), last_linear])
    return GatedNetwork(ACTIVATIONS[spec.activation], *parts)


def angle_network(weights: Weights, spec: CHGNetSpec, name: str, hidden: tuple[int, ...]) -> AngleNetwork:
    """Return a network of two bonds, their angle and their atom."""
    bond = spec.bond_width
    widths = {"first": bond, "second": bond, "angle": spec.angle_width, "own": spec.atom_width}
    return AngleNetwork(gated_network(weights, spec, name, hidden), widths)


class EdgeNetwork:
    """An update of the atoms: weighted sums over edges of a network of centre, edge and neighbour.

    Attributes
    ----------
    source
        First linear map of the neighbours' features, shape (atom_width, 2 * first hidden width).
    """

    def __init__(self, weights: Weights, spec: CHGNetSpec, name: str, bond_embedding: Tensor):
        self._network = gated_network(weights, spec, f"{name}.twoBody_atom", spec.atom_hidden)
        parts = self._network.split({"own": spec.atom_width, "edge": spec.bond_width, "source": spec.atom_width})
        self.own, self.edge, self.source = parts.values()
        self.radial = bond_embedding @ self.edge
        self.output, _ = weights.linear(f"{name}.mlp_out.layers.1")

    def __call__(
        self,
        centre: Tensor,
        radial: tuple[Tensor, Tensor],
        nodes: Tensor,
        sources: Tensor,
        bond_edges: Tensor,
        update: Tensor | None,
    ) -> Tensor:
        """Return the features of the centres after this update, shape (n_local, atom_width).

        Parameters
        ----------
        radial
            Radial functions of edges and weights of their messages.
        nodes
            Features of the centres.
        sources
            Linear map of the neighbours, shape (n_edges, 2 * first hidden width).
        bond_edges, update
            Edges of bonds, and the differences of their features to those of their distances; None before the first
            update.
        """
        functions, edge_weights = radial
        hidden = functions @ self.radial + sources + select_rows(nodes @ self.own + self._network.bias, centre)
        if update is not None:
            hidden = hidden + sum_rows(update @ self.edge, bond_edges, hidden.shape[0])
        messages = self._network.after_first(hidden) * edge_weights
        return nodes + sum_rows(messages, centre, nodes.shape[0]) @ self.output


class Readout:
    """The network from an atom's features to its energy."""

    def __init__(self, weights: Weights, spec: CHGNetSpec):
        self.activation = ACTIVATIONS[spec.activation]
        self.norm = norm_of(weights, "readout_norm") if spec.has_readout_norm else None
        self.linear = [weights.linear(name) for name in linear_names("mlp", len(spec.readout_hidden) + 1)]

    def __call__(self, nodes: Tensor) -> Tensor:
        (weight, bias), *further = self.linear
        values = normalised(nodes, self.norm) @ weight + bias
        for weight, bias in further:
            values = self.activation(values) @ weight + bias
        return values
