"""What a trained potential is: settings, names and shapes of its weights. This module does not import torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.families.family import SpecifiedModel

FAMILY_NAME = "matgl-chgnet"
ACTIVATIONS = ("swish", "tanh", "sigmoid", "softplus", "softplus2")
"""Activation functions of hidden layers; gates always have the sigmoid."""
MAGMOMS = "magmoms"
"""Magnetic moments of atoms in Bohr magnetons, which depend on the atoms before the last layer."""
_LARGEST_END = 1e-4
"""Largest sine of a frequency that rounding to float32 leaves of zero."""


@dataclass(frozen=True)
class MatGLCHGNetSpec:
    """Settings of a trained potential.

    Attributes
    ----------
    atomic_numbers
        Elements in the order of the embedding.
    cutoff, bond_cutoff
        Cutoffs of edges and of bonds in angstrom. Bonds are the edges that form angles.
    cutoff_power
        Lowest power of the polynomial that multiplies each radial function and has the value of the function as its
        argument.
    n_radial, n_angular
        Numbers of functions of a distance, and of sines of an angle.
    n_layers
        Number of updates of the atoms. Bonds are updated with angles one time less.
    atom_width, bond_width, angle_width
        Widths of the features.
    atom_hidden, bond_hidden, readout_hidden
        Widths of the hidden layers of the networks of atoms, of bonds and of the readout.
    edge_hidden, angle_hidden
        The same for the networks that update edges with their atoms, and angles; None without these networks.
    has_shared_weights, has_layer_weights
        Whether messages of edges have weights that all layers share, and weights of their own layer.
    has_bond_layer_weights
        Whether messages of angles have weights of their own layer in addition to those that all layers share.
    has_norm, has_hidden_norms
        Whether gated networks have a layer normalisation at their end, and atoms and edges after each update; and
        whether hidden layers have one.
    has_bond_activation, has_angle_activation
        Whether the activation function follows the embeddings of distances and of angles.
    has_gated_readout
        Whether the readout is a gated network.
    has_moments
        Whether the model has magnetic moments.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    bond_cutoff: float
    cutoff_power: int
    n_radial: int
    n_angular: int
    n_layers: int
    atom_width: int
    bond_width: int
    angle_width: int
    atom_hidden: tuple[int, ...]
    edge_hidden: tuple[int, ...] | None
    bond_hidden: tuple[int, ...]
    angle_hidden: tuple[int, ...] | None
    readout_hidden: tuple[int, ...]
    has_shared_weights: bool
    has_layer_weights: bool
    has_bond_layer_weights: bool
    has_norm: bool
    has_hidden_norms: bool
    has_bond_activation: bool
    has_angle_activation: bool
    has_gated_readout: bool
    has_moments: bool
    activation: str

    def gated_networks(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield names and widths of the gated networks of the layers."""
        edge = 2 * self.atom_width + self.bond_width
        angle = 2 * self.bond_width + self.angle_width + self.atom_width
        for t in range(self.n_layers):
            yield f"{atom_layer(t)}.node_update_func", (edge, *self.atom_hidden, self.atom_width)
            if self.edge_hidden is not None:
                yield f"{atom_layer(t)}.edge_update_func", (edge, *self.edge_hidden, self.bond_width)
        for t in range(self.n_layers - 1):
            yield f"{bond_layer(t)}.node_update_func", (angle, *self.bond_hidden, self.bond_width)
            if self.angle_hidden is not None:
                yield f"{bond_layer(t)}.edge_update_func", (angle, *self.angle_hidden, self.angle_width)

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the weights of the network by their names in MatGL 4."""
        atom, bond, n_radial = self.atom_width, self.bond_width, self.n_radial
        shapes = {
            "atom_embedding.weight": (len(self.atomic_numbers), atom),
            "bond_expansion.frequencies": (n_radial,),
            "threebody_bond_expansion.frequencies": (n_radial,),
            "angle_expansion.frequencies": (self.n_angular + 1,),
            "bond_embedding.layers.0.weight": (bond, n_radial),
            "angle_embedding.layers.0.weight": (self.angle_width, 2 * self.n_angular + 1),
            "threebody_bond_weights.weight": (bond, n_radial),
        }
        for name, width in self.edge_weights("atom_bond_weights", "bond_bond_weights", self.has_shared_weights):
            shapes[f"{name}.weight"] = (width, n_radial)
        for t in range(self.n_layers):
            layer = atom_layer(t)
            shapes[f"{layer}.node_out_func.weight"] = (atom, atom)
            own = f"{layer}.node_weight_func", f"{layer}.edge_weight_func"
            for name, width in self.edge_weights(*own, self.has_layer_weights):
                shapes[f"{name}.weight"] = (width, n_radial)
            if self.has_norm:
                shapes |= _norm_shapes(f"atom_graph_layers.{t}.atom_norm", atom)
                shapes |= _norm_shapes(f"atom_graph_layers.{t}.bond_norm", bond)
        for t in range(self.n_layers - 1):
            shapes[f"{bond_layer(t)}.node_out_func.weight"] = (bond, bond)
            if self.has_bond_layer_weights:
                name = f"{bond_layer(t)}.node_weight_func"
                shapes |= {f"{name}.weight": (bond, n_radial), f"{name}.bias": (bond,)}
        for name, widths in self.gated_networks():
            for part in ("value", "gate"):
                shapes |= _network_shapes(f"{name}.{part}", widths)
                if self.has_norm:
                    for k, width in self.norms(widths):
                        shapes |= _norm_shapes(f"{name}.{part}.norms.{k}", width)
        if self.has_moments:
            shapes |= {"sitewise_readout.weight": (1, atom), "sitewise_readout.bias": (1,)}
        for name in readout_names(self):
            shapes |= _network_shapes(name, (atom, *self.readout_hidden, 1))
        return shapes

    def edge_weights(self, of_atoms: str, of_edges: str, has_them: bool) -> list[tuple[str, int]]:
        """Return names and widths of the weights of messages to atoms and, if edges are updated, of their updates."""
        found = [(of_atoms, self.atom_width)]
        if self.edge_hidden is not None:
            found.append((of_edges, self.bond_width))
        return found if has_them else []

    def norms(self, widths: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return numbers and widths of the normalisations of a network with ``has_norm``, one for each linear map.

        ``widths`` are those of the inputs and after each linear map. Without ``has_hidden_norms`` only the last linear
        map has one.
        """
        return list(enumerate(widths[1:] if self.has_hidden_norms else widths[-1:]))


def atom_layer(t: int) -> str:
    """Return the name of the update of the atoms with number ``t``, from 0 on."""
    return f"atom_graph_layers.{t}.conv"


def bond_layer(t: int) -> str:
    """Return the name of the update of bonds and angles with number ``t``, from 0 on."""
    return f"bond_graph_layers.{t}.conv"


def readout_names(spec: MatGLCHGNetSpec) -> tuple[str, ...]:
    """Return the names of the networks of the readout."""
    return ("final_layer.value", "final_layer.gate") if spec.has_gated_readout else ("final_layer",)


def _network_shapes(name: str, widths: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for k, (n_in, n_out) in enumerate(pairwise(widths)):
        shapes |= {f"{name}.layers.{k}.weight": (n_out, n_in), f"{name}.layers.{k}.bias": (n_out,)}
    return shapes


def _norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{kind}": (width,) for kind in ("weight", "bias")}


@dataclass(frozen=True)
class MatGLCHGNetModel(SpecifiedModel):
    """A trained potential; see ``TrainedModel``.

    Attributes
    ----------
    weights
        Arrays in the precision of the file: those of ``MatGLCHGNetSpec.weight_shapes``, and ``scale`` () and
        ``constants`` (n_elements,) in eV. The energy of an atom is scale times the output of the network, plus the
        constant of its element.
    """

    family = FAMILY_NAME
    spec: MatGLCHGNetSpec
    weights: dict[str, NDArray[np.floating]]
    source_sha256: str
    source_name: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        return self.weights["atom_embedding.weight"].dtype.name

    @property
    def at_cutoff(self) -> str:
        """What happens where an atom crosses a cutoff: forces jump, and energies where frequencies were trained.

        Radial functions vanish at their cutoff if their frequencies are multiples of pi, and their slopes do not.
        """
        names = "bond_expansion.frequencies", "threebody_bond_expansion.frequencies"
        ends = [np.abs(np.sin(self.weights[name].astype(np.float64))).max() for name in names]
        return "energies and forces jump" if max(ends) > _LARGEST_END else "forces jump"

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"at_cutoff": self.at_cutoff}

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        return {"cutoff_power": self.spec.cutoff_power, "at_cutoff": self.at_cutoff, **self.remarks}
