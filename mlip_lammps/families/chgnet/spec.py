"""What a trained CHGNet potential is: settings, names and shapes of its weights. This module does not import torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.families.family import SpecifiedModel

FAMILY_NAME = "chgnet"
ACTIVATIONS = ("silu", "tanh", "gelu")
"""Activation functions of hidden layers; gates always have the sigmoid."""
MAGMOMS = "magmoms"
"""Absolute magnetic moments of atoms in Bohr magnetons, which depend on the atoms before the last layer."""
N_ELEMENTS = 94
"""Elements of the embedding, in the order of their atomic numbers."""


@dataclass(frozen=True)
class CHGNetSpec:
    """Settings of a trained potential.

    Attributes
    ----------
    atomic_numbers
        Elements that the model was trained on, in the order of the embedding.
    cutoff, bond_cutoff
        Cutoffs of edges and of bonds in angstrom. Bonds are the edges that form angles.
    cutoff_power
        Lowest power p of the cutoff function 1 - x^p ((p + 1)(p + 2) / 2 - p (p + 2) x + p (p + 1) / 2 x^2), x = r / c.
    n_radial, n_angular
        Numbers of functions of a distance and of an angle; the second is odd.
    n_layers
        Number of updates of the atoms. Bonds and angles have one less.
    atom_width, bond_width, angle_width
        Widths of the features.
    atom_hidden, bond_hidden, angle_hidden, readout_hidden
        Widths of the hidden layers of the networks.
    has_norm, has_readout_norm
        Whether gated networks and the readout have layer normalisation.
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
    bond_hidden: tuple[int, ...]
    angle_hidden: tuple[int, ...]
    readout_hidden: tuple[int, ...]
    has_norm: bool
    has_readout_norm: bool
    activation: str

    @property
    def angle_inputs(self) -> int:
        """Number of inputs of the networks of an angle: two bonds, the angle and the atom."""
        return 2 * self.bond_width + self.angle_width + self.atom_width

    def gated_networks(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield names and widths of the gated networks."""
        atom, bond = 2 * self.atom_width + self.bond_width, self.angle_inputs
        for t in range(self.n_layers):
            yield f"atom_conv_layers.{t}.twoBody_atom", (atom, *self.atom_hidden, self.atom_width)
        for t in range(self.n_layers - 1):
            yield f"bond_conv_layers.{t}.twoBody_bond", (bond, *self.bond_hidden, self.bond_width)
            yield f"angle_layers.{t}.twoBody_bond", (bond, *self.angle_hidden, self.angle_width)

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the weights by their names in the package."""
        shapes = {
            "atom_embedding.embedding.weight": (N_ELEMENTS, self.atom_width),
            "bond_basis_expansion.rbf_expansion_ag.frequencies": (self.n_radial,),
            "bond_basis_expansion.rbf_expansion_bg.frequencies": (self.n_radial,),
            "bond_embedding.weight": (self.bond_width, self.n_radial),
            "bond_weights_ag.weight": (self.atom_width, self.n_radial),
            "bond_weights_bg.weight": (self.bond_width, self.n_radial),
            "angle_basis_expansion.fourier_expansion.frequencies": ((self.n_angular - 1) // 2,),
            "angle_embedding.weight": (self.angle_width, self.n_angular),
            "site_wise.weight": (1, self.atom_width),
            "site_wise.bias": (1,),
        }
        for name, widths in self.gated_networks():
            for part in ("mlp_core", "mlp_gate"):
                shapes |= _network_shapes(f"{name}.{part}", widths)
            if self.has_norm:
                shapes |= {f"{name}.{norm}.{kind}": widths[-1:] for norm in ("bn1", "bn2") for kind in _NORM_PARTS}
        for t in range(self.n_layers):
            shapes[f"atom_conv_layers.{t}.mlp_out.layers.1.weight"] = (self.atom_width, self.atom_width)
        for t in range(self.n_layers - 1):
            shapes[f"bond_conv_layers.{t}.mlp_out.layers.1.weight"] = (self.bond_width, self.bond_width)
        if self.has_readout_norm:
            shapes |= {f"readout_norm.{kind}": (self.atom_width,) for kind in _NORM_PARTS}
        return shapes | _network_shapes("mlp", (self.atom_width, *self.readout_hidden, 1))


_NORM_PARTS = ("weight", "bias")


def linear_names(name: str, n_linear: int) -> list[str]:
    """Return the names of the linear maps of a network.

    The package counts activation functions, and a dropout before the last map.
    """
    last = 2 * n_linear - 1
    return [f"{name}.layers.{2 * k}" for k in range(n_linear - 1)] + [f"{name}.layers.{last}"]


def _network_shapes(name: str, widths: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    shapes = {}
    for linear, (n_in, n_out) in zip(linear_names(name, len(widths) - 1), pairwise(widths), strict=True):
        shapes |= {f"{linear}.weight": (n_out, n_in), f"{linear}.bias": (n_out,)}
    return shapes


@dataclass(frozen=True)
class CHGNetModel(SpecifiedModel):
    """A trained potential; see ``TrainedModel``.

    Attributes
    ----------
    weights
        Arrays in the precision of the file: those of ``CHGNetSpec.weight_shapes``, with the rows of
        ``atomic_numbers`` alone in the embedding, and ``constants`` (n_elements,) in eV, which are added to the
        energies of atoms.
    """

    family = FAMILY_NAME
    spec: CHGNetSpec
    weights: dict[str, NDArray[np.floating]]
    source_sha256: str
    source_name: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        return self.weights["atom_embedding.embedding.weight"].dtype.name

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        return {"cutoff_power": self.spec.cutoff_power, **self.remarks}
