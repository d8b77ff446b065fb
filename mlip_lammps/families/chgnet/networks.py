"""The networks of CHGNet: gated networks of edges and angles, and the readout."""

from typing import Protocol

import torch
from torch import Tensor

from mlip_lammps.families.chgnet.bases import ACTIVATIONS
from mlip_lammps.families.chgnet.spec import CHGNetSpec, linear_names
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.kernels.torch.rows import select_rows, sum_rows


class Angles(Protocol):
    """Ordered angles: their two bonds, and the atoms of bonds."""

    first: Tensor
    second: Tensor
    centres: Tensor


class _GatedNetwork:
    """A network times the sigmoid of another one. The first linear map is that of both, side by side."""

    def __init__(self, weights: Weights, spec: CHGNetSpec, name: str, hidden: tuple[int, ...]):
        self.activation = ACTIVATIONS[spec.activation]
        names = [linear_names(f"{name}.{part}", len(hidden) + 1) for part in ("mlp_core", "mlp_gate")]
        both = [weights.linear(first) for first, *_ in names]
        self.weight = torch.cat([weight for weight, _ in both], dim=1)
        self.bias = torch.cat([bias for _, bias in both])
        self.further = [[weights.linear(linear) for linear in further] for _, *further in names]
        self.norms = [_norm(weights, f"{name}.{norm}") if spec.has_norm else None for norm in ("bn1", "bn2")]

    def after_first(self, hidden: Tensor) -> Tensor:
        """Return the result from that of the first linear map."""
        parts = []
        for values, further, norm in zip(hidden.chunk(2, dim=1), self.further, self.norms, strict=True):
            for weight, bias in further:
                values = self.activation(values) @ weight + bias
            parts.append(values if norm is None else torch.nn.functional.layer_norm(values, values.shape[1:], *norm))
        return self.activation(parts[0]) * torch.sigmoid(parts[1])


class EdgeNetwork(_GatedNetwork):
    """An update of the atoms: weighted sums over edges of a network of centre, edge and neighbour.

    Attributes
    ----------
    source
        First linear map of the neighbours' features, shape (atom_width, 2 * first hidden width).
    """

    def __init__(self, weights: Weights, spec: CHGNetSpec, name: str, bond_embedding: Tensor):
        super().__init__(weights, spec, f"{name}.twoBody_atom", spec.atom_hidden)
        own, self.edge, source = self.weight.split([spec.atom_width, spec.bond_width, spec.atom_width])
        self.own, self.source = own.contiguous(), source.contiguous()
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
        hidden = functions @ self.radial + sources + select_rows(nodes @ self.own + self.bias, centre)
        if update is not None:
            hidden = hidden + sum_rows(update @ self.edge, bond_edges, hidden.shape[0])
        messages = self.after_first(hidden) * edge_weights
        return nodes + sum_rows(messages, centre, nodes.shape[0]) @ self.output


class AngleNetwork(_GatedNetwork):
    """A network of two bonds, their angle and their atom; parts of bonds and atoms are mapped once for each of them."""

    def __init__(self, weights: Weights, spec: CHGNetSpec, name: str, hidden: tuple[int, ...]):
        super().__init__(weights, spec, name, hidden)
        widths = [spec.bond_width, spec.bond_width, spec.angle_width, spec.atom_width]
        self.first, self.second, self.angle, self.own = (one.contiguous() for one in self.weight.split(widths))

    def __call__(self, of: Angles, bonds: Tensor, angles: Tensor, nodes: Tensor) -> Tensor:
        """Return the messages or updates of ordered angles, shape (n_ordered_angles, width)."""
        own = select_rows(nodes @ self.own + self.bias, of.centres)
        first = select_rows(bonds @ self.first + own, of.first)
        second = select_rows(bonds @ self.second, of.second)
        return self.after_first(first + second + angles @ self.angle)


class Readout:
    """The network from an atom's features to its energy."""

    def __init__(self, weights: Weights, spec: CHGNetSpec):
        self.activation = ACTIVATIONS[spec.activation]
        self.norm = _norm(weights, "readout_norm") if spec.has_readout_norm else None
        self.linear = [weights.linear(name) for name in linear_names("mlp", len(spec.readout_hidden) + 1)]

    def __call__(self, nodes: Tensor) -> Tensor:
        if self.norm is not None:
            nodes = torch.nn.functional.layer_norm(nodes, nodes.shape[1:], *self.norm)
        (weight, bias), *further = self.linear
        values = nodes @ weight + bias
        for weight, bias in further:
            values = self.activation(values) @ weight + bias
        return values


def _norm(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]
