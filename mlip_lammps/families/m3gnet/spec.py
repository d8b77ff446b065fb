"""What a trained M3GNet potential is: settings, names and shapes of its weights. This module does not import torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.families.family import SpecifiedModel

FAMILY_NAME = "m3gnet"
ACTIVATIONS = ("swish", "tanh", "sigmoid", "softplus2")
"""Activation functions of the edge embedding; those of the gated networks are always swish and sigmoid."""


@dataclass(frozen=True)
class M3GNetSpec:
    """Settings of a trained potential.

    Attributes
    ----------
    atomic_numbers
        Elements in the order of the embedding.
    cutoff, threebody_cutoff
        Cutoffs of edges and of pairs of edges in angstrom; the second is not longer than the first.
    max_n, max_l
        Numbers of radial functions for each order, and of orders l = 0 ... max_l - 1.
    n_blocks
        Number of message-passing layers.
    node_width, edge_width, hidden_width
        Widths of node features, edge features and hidden layers.
    has_smooth_basis
        Whether radial functions have two derivatives that vanish at the cutoff; otherwise they are spherical Bessel
        functions, whose first derivative does not vanish.
    has_incoming_messages
        Whether an atom receives the messages of the edges that its neighbours have to it, as in MatGL with DGL, and not
        those of its own edges, as in MatGL since version 4.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    threebody_cutoff: float
    max_n: int
    max_l: int
    n_blocks: int
    node_width: int
    edge_width: int
    hidden_width: int
    has_smooth_basis: bool
    activation: str
    has_incoming_messages: bool

    @property
    def n_threebody(self) -> int:
        """Number of functions of a pair of edges."""
        return self.max_n * self.max_l

    @property
    def n_moments(self) -> int:
        """Number of sums over the edges of an atom that give the sums over pairs of edges."""
        return self.max_n * self.max_l**2

    @property
    def n_radial(self) -> int:
        """Number of functions of a distance that the edge embedding and the messages take."""
        return self.max_n if self.has_smooth_basis else self.n_threebody

    def networks(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield names and widths of the gated networks with biases."""
        hidden = (2 * self.node_width + self.edge_width, self.hidden_width, self.hidden_width)
        for block in range(self.n_blocks):
            yield f"graph_layers.{block}.conv.edge_update_func", (*hidden, self.edge_width)
            yield f"graph_layers.{block}.conv.node_update_func", (*hidden, self.node_width)
        yield "final_layer.gated", (self.node_width, self.node_width, self.hidden_width, self.hidden_width, 1)

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the weights of the network by their names in MatGL."""
        shapes = {
            "embedding.layer_node_embedding.weight": (len(self.atomic_numbers), self.node_width),
            "embedding.layer_edge_embedding.layers.0.weight": (self.edge_width, self.n_radial),
            "embedding.layer_edge_embedding.layers.0.bias": (self.edge_width,),
        }
        for block in range(self.n_blocks):
            threebody = f"three_body_interactions.{block}"
            shapes |= {
                f"{threebody}.update_network_atom.layers.0.weight": (self.n_threebody, self.node_width),
                f"{threebody}.update_network_atom.layers.0.bias": (self.n_threebody,),
                f"{threebody}.update_network_bond.layers.0.weight": (self.edge_width, self.n_threebody),
                f"{threebody}.update_network_bond.gates.0.weight": (self.edge_width, self.n_threebody),
                f"graph_layers.{block}.conv.edge_weight_func.weight": (self.edge_width, self.n_radial),
                f"graph_layers.{block}.conv.node_weight_func.weight": (self.node_width, self.n_radial),
            }
        for name, widths in self.networks():
            for k, (n_in, n_out) in enumerate(pairwise(widths)):
                for part in ("layers", "gates"):
                    # MatGL counts the activation functions between linear maps
                    shapes[f"{name}.{part}.{2 * k}.weight"] = (n_out, n_in)
                    shapes[f"{name}.{part}.{2 * k}.bias"] = (n_out,)
        return shapes


@dataclass(frozen=True)
class M3GNetModel(SpecifiedModel):
    """A trained potential; see ``TrainedModel``.

    Attributes
    ----------
    weights
        Arrays in the precision of the file: those of ``M3GNetSpec.weight_shapes``, and ``scale`` () and ``constants``
        (n_elements,) in eV. The energy of an atom is scale times the output of the network, plus the constant of its
        element.
    """

    family = FAMILY_NAME
    spec: M3GNetSpec
    weights: dict[str, NDArray[np.floating]]
    source_sha256: str
    source_name: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        return self.weights["embedding.layer_node_embedding.weight"].dtype.name

    @property
    def n_layers(self) -> int:
        # sums over pairs of the edges of neighbours take an exchange more in each block
        return 2 * self.spec.n_blocks if self.spec.has_incoming_messages else self.spec.n_blocks

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        spec = self.spec
        described = {"threebody_cutoff": spec.threebody_cutoff, "max_n": spec.max_n, "max_l": spec.max_l}
        described |= {"has_smooth_basis": spec.has_smooth_basis, "has_incoming_messages": spec.has_incoming_messages}
        return {**described, **self.remarks}
