"""What a trained TensorNet potential is: settings and shapes of its weights. This module does not import torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.families.family import SpecifiedModel

FAMILY_NAME = "tensornet"
ACTIVATIONS = ("swish", "tanh", "sigmoid", "softplus", "softplus2")
"""Activation functions of embedding and interactions; those of the readout are always swish and sigmoid."""
GROUPS = ("O(3)", "SO(3)")
READOUT_DEPTH = 4
"""Linear maps of the network of the readout and of its gate."""
READOUT_MAPS = (
    "linear",
    # MatGL counts the activation functions between linear maps
    *(f"final_layer.gated.{part}.{2 * k}" for k in range(READOUT_DEPTH) for part in ("layers", "gates")),
)
"""Names of the linear maps of the readout: the first one is that of the norms of the tensors."""
REPULSION = {"a_pow": (1,), "a_div": (1,), "coefficients": (4,), "exponents": (4,)}
"""Weights of the ZBL repulsion and their shapes; the softplus of each is the constant."""


@dataclass(frozen=True)
class TensorNetSpec:
    """Settings of a trained potential.

    Attributes
    ----------
    atomic_numbers
        Elements in the order of the embedding.
    cutoff
        Cutoff in angstrom.
    radial_basis
        ``smooth``: spherical Bessel functions combined such that two derivatives vanish at the cutoff; ``bessel``:
        spherical Bessel functions; ``gaussian``.
    max_n, max_l
        Numbers of Bessel functions for each order, and of orders l = 0 ... max_l - 1.
    n_functions
        Number of Gaussian functions.
    gaussian_width
        Factor of the square of the distance in Gaussian functions, 1/angstrom^2.
    units
        Number of channels.
    n_blocks
        Number of interactions.
    group
        Whether an interaction is symmetric in centre and message, ``O(3)``, or not, ``SO(3)``.
    has_own_messages
        Whether messages contain the tensors of the centre in place of those of its neighbours, as in MatGL with DGL.
    has_repulsion
        Whether the ZBL repulsion is added.
    """

    atomic_numbers: tuple[int, ...]
    cutoff: float
    radial_basis: str
    max_n: int
    max_l: int
    n_functions: int
    gaussian_width: float
    units: int
    n_blocks: int
    group: str
    activation: str
    has_own_messages: bool
    has_repulsion: bool

    @property
    def n_radial(self) -> int:
        """Number of functions of a distance."""
        counts = {"smooth": self.max_n, "bessel": self.max_n * self.max_l}
        return counts.get(self.radial_basis, self.n_functions)

    @property
    def n_layers(self) -> int:
        """Number of layers between which atoms send tensors: the embedding is the first one."""
        return 1 if self.has_own_messages else 1 + self.n_blocks

    def linear_maps(self) -> Iterator[tuple[str, int, int, bool]]:
        """Yield name, numbers of inputs and outputs, and whether there is a bias, of each linear map."""
        n, embedding = self.units, "tensor_embedding"
        for k in range(3):
            yield f"{embedding}.distance_proj{k + 1}", self.n_radial, n, True
            yield f"{embedding}.linears_tensor.{k}", n, n, False
        yield f"{embedding}.emb2", 2 * n, n, True
        yield f"{embedding}.linears_scalar.0", n, 2 * n, True
        yield f"{embedding}.linears_scalar.1", 2 * n, 3 * n, True
        for block in range(self.n_blocks):
            widths = (self.n_radial, n, 2 * n, 3 * n)
            for k in range(3):
                yield f"layers.{block}.linears_scalar.{k}", widths[k], widths[k + 1], True
            for k in range(6):
                yield f"layers.{block}.linears_tensor.{k}", n, n, False
        first, *hidden, last, last_gate = READOUT_MAPS
        yield first, 3 * n, n, True
        for name in hidden:
            yield name, n, n, True
        for name in (last, last_gate):
            yield name, n, 1, True

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the weights of the network by their names in MatGL."""
        embedding = "tensor_embedding"
        shapes = {f"{embedding}.emb.weight": (len(self.atomic_numbers), self.units)}
        for name, n_in, n_out, has_bias in self.linear_maps():
            shapes[f"{name}.weight"] = (n_out, n_in)
            if has_bias:
                shapes[f"{name}.bias"] = (n_out,)
        for name, width in ((f"{embedding}.init_norm", self.units), ("out_norm", 3 * self.units)):
            shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
        if self.radial_basis == "gaussian":
            shapes["bond_expansion.rbf.centers"] = (self.n_radial,)
        return shapes


@dataclass(frozen=True)
class TensorNetModel(SpecifiedModel):
    """A trained potential; see ``TrainedModel``.

    Attributes
    ----------
    weights
        Arrays in the precision of the file: those of ``TensorNetSpec.weight_shapes`` in the order of MatGL since
        version 2.2, ``scale`` () and ``constants`` (n_elements,) in eV, and with a repulsion ``repulsion.NAME`` of
        `REPULSION` and ``repulsion.ke`` (), half of which multiplies the product of two charges, eV angstrom. The
        energy of an atom is scale times the output of the network, plus the constant of its element.
    """

    family = FAMILY_NAME
    spec: TensorNetSpec
    weights: dict[str, NDArray[np.floating]]
    source_sha256: str
    source_name: str
    remarks: dict[str, str] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        return self.weights["tensor_embedding.emb.weight"].dtype.name

    def describe(self) -> dict[str, Any]:
        """Return the model properties for the metadata of a compiled file."""
        spec = self.spec
        described = {"radial_basis": spec.radial_basis, "group": spec.group, "n_blocks": spec.n_blocks}
        return {**described, "has_own_messages": spec.has_own_messages, **self.remarks}
