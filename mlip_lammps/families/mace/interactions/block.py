"""Interface of an interaction block: file reader, reference and lowering. This module does not import torch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlip_lammps.families.irreps import linear_size, parse_irreps
from mlip_lammps.families.mace.reader import checks

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mlip_lammps.families.mace.lowering import InteractionLowering, LoweredInteraction
    from mlip_lammps.families.mace.reader.module import Module
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs
    from mlip_lammps.families.mace.spec import LayerSpec, ModelSpec

Shapes = Iterator[tuple[str, tuple[int | None, ...]]]


class InteractionBlock(ABC):
    """An interaction block of mace-torch.

    The methods here are those of a block with the submodules ``linear_up``, ``conv_tp``, ``conv_tp_weights``,
    ``linear`` and ``skip_tp``; a block with other ones overrides them.

    Attributes
    ----------
    name
        Class name in mace-torch.
    vanishes_with_basis
        Whether an edge contributes nothing where its radial basis is zero.
    """

    name: str
    vanishes_with_basis = True

    @abstractmethod
    def skip_irreps(self, irreps_in: str, irreps_message: str, irreps_out: str) -> tuple[str, str]:
        """Return the input and output irreps of ``skip_tp``."""

    def read(self, block: "Module") -> dict[str, Any]:
        """Return ``LayerSpec.settings``: plain values specific to this block."""
        return {}

    def read_message(self, block: "Module", irreps_mid: str) -> str:
        """Return the irreps of the message, which the products take."""
        return checks.message_linear(block.child("linear"), irreps_mid)

    def read_radial(self, block: "Module") -> tuple[tuple[int, ...], float]:
        """Return the hidden widths and the activation scale of ``conv_tp_weights``."""
        return checks.radial_mlp(block.child("conv_tp_weights"))

    def arrays(self, block: "Module") -> "Iterator[tuple[Module, str]]":
        """Yield the module and the name in it of each array of the model."""
        modules = [block.child(name) for name in ("linear_up", "linear", "skip_tp")]
        for module in (*modules, *block.child("conv_tp_weights").children()):
            yield module, "weight"

    def check(self, block: "Module", n_elements: int, irreps_in: str, irreps_message: str, irreps_out: str) -> None:
        """Raise ``UnsupportedModelError`` if ``skip_tp`` does not have the irreps of this block."""
        found = checks.element_product(block.child("skip_tp"), n_elements)
        expected = self.skip_irreps(irreps_in, irreps_message, irreps_out)
        checks.require(found == expected, block.child("skip_tp"), "irreps", " -> ".join(found))

    @property
    def needs_skip(self) -> bool:
        """Whether the product block must add the skip connection."""
        return False

    @property
    def has_pair_network(self) -> bool:
        """Whether the radial network depends on the elements of both atoms."""
        return False

    def weight_shapes(self, spec: "ModelSpec", layer: "LayerSpec", prefix: str) -> Shapes:
        """Yield the name and shape of every weight; None means any size."""
        yield from linear_up_shapes(layer, prefix)
        widths = (spec.radial.n_basis, *layer.radial_widths, n_radial_weights(layer))
        for k, shape in enumerate(pairwise(widths)):
            yield f"{prefix}.conv_tp_weights.layer{k}.weight", shape
        mid, message = parse_irreps(layer.irreps_mid), parse_irreps(layer.irreps_message)
        yield f"{prefix}.linear.weight", (linear_size(mid, message),)
        skip_in, skip_out = self.skip_irreps(layer.irreps_in, layer.irreps_message, layer.irreps_out)
        skip = linear_size(parse_irreps(skip_in), parse_irreps(skip_out))
        yield f"{prefix}.skip_tp.weight", (skip * len(spec.atomic_numbers),)

    def build(self, modules: "InteractionModules") -> None:
        """Add the e3nn modules of the reference."""
        layer = modules.layer
        modules.add_linear("linear", layer.irreps_mid, layer.irreps_message)
        skip_irreps = self.skip_irreps(layer.irreps_in, layer.irreps_message, layer.irreps_out)
        modules.add_element_product("skip_tp", *skip_irreps)

    def radial_network(self, modules: "InteractionModules") -> "nn.Module":
        """Return the network ``conv_tp_weights`` of the reference."""
        return modules.radial_mlp("conv_tp_weights")

    def radial_inputs(self, modules: "InteractionModules", inputs: "LayerInputs") -> "Tensor":
        """Return what the radial networks take, shape (n_edges, n)."""
        return inputs.basis

    @abstractmethod
    def reference(self, modules: "InteractionModules", inputs: "LayerInputs") -> "tuple[Tensor, Tensor | None]":
        """Return the message and the skip connection (None if there is none), as mace-torch computes them.

        Parameters
        ----------
        modules
            e3nn submodules with their weights.
        """

    @abstractmethod
    def lower(self, lowering: "InteractionLowering") -> "LoweredInteraction":
        """Return the constants of the block for the kernels."""


def linear_up_shapes(layer: "LayerSpec", prefix: str) -> Shapes:
    """Yield the shape of ``linear_up``."""
    yield f"{prefix}.linear_up.weight", (linear_size(parse_irreps(layer.irreps_in), parse_irreps(layer.irreps_edge)),)


def n_radial_weights(layer: "LayerSpec") -> int:
    """Return the number of convolution weights of an edge."""
    irreps_edge = parse_irreps(layer.irreps_edge)
    return sum(irreps_edge[i].mul for i, _, _ in layer.paths)
