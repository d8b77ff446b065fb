"""Interface of an interaction block: file reader, reference and lowering. This module does not import torch."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlip_lammps.families.mace.irreps import linear_size, parse_irreps
from mlip_lammps.families.mace.reader import checks

if TYPE_CHECKING:
    from torch import Tensor

    from mlip_lammps.families.mace.lowering import InteractionLowering, LoweredInteraction
    from mlip_lammps.families.mace.reader.module import Module
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs
    from mlip_lammps.families.mace.spec import LayerSpec, ModelSpec

Shapes = Iterator[tuple[str, tuple[int | None, ...]]]


class InteractionBlock(ABC):
    """An interaction block of mace-torch.

    Every block has the submodules ``linear_up``, ``conv_tp``, ``conv_tp_weights``, ``linear`` and ``skip_tp``;
    subclasses handle additional ones.

    Attributes
    ----------
    name
        Class name in mace-torch.
    """

    name: str

    @abstractmethod
    def skip_irreps(self, irreps_in: str, irreps_message: str, irreps_out: str) -> tuple[str, str]:
        """Return the input and output irreps of ``skip_tp``."""

    def read(self, block: "Module") -> dict[str, Any]:
        """Return ``LayerSpec.settings``: plain values specific to this block."""
        return {}

    def modules_with_weights(self, block: "Module") -> "list[Module]":
        """Return the modules whose ``weight`` belongs to the model."""
        own = [block.child(name) for name in ("linear_up", "linear", "skip_tp")]
        return [*own, *block.child("conv_tp_weights").children()]

    def check(self, block: "Module", n_elements: int, irreps_in: str, irreps_message: str, irreps_out: str) -> None:
        """Raise ``UnsupportedModelError`` if ``skip_tp`` does not have the irreps of this block."""
        found = checks.element_product(block.child("skip_tp"), n_elements)
        expected = self.skip_irreps(irreps_in, irreps_message, irreps_out)
        checks.require(found == expected, block.child("skip_tp"), "irreps", " -> ".join(found))

    @property
    def needs_skip(self) -> bool:
        """Whether the product block must add the skip connection."""
        return False

    def weight_shapes(self, spec: "ModelSpec", layer: "LayerSpec", prefix: str) -> Shapes:
        """Yield the name and shape of every weight; None means any size."""
        irreps_in, mid, message = (
            parse_irreps(text) for text in (layer.irreps_in, layer.irreps_mid, layer.irreps_message)
        )
        skip_in, skip_out = self.skip_irreps(layer.irreps_in, layer.irreps_message, layer.irreps_out)
        yield f"{prefix}.linear_up.weight", (linear_size(irreps_in, irreps_in),)
        widths = (spec.radial.n_basis, *layer.radial_widths, sum(irreps_in[i].mul for i, _, _ in layer.paths))
        for k, shape in enumerate(pairwise(widths)):
            yield f"{prefix}.conv_tp_weights.layer{k}.weight", shape
        yield f"{prefix}.linear.weight", (linear_size(mid, message),)
        skip = linear_size(parse_irreps(skip_in), parse_irreps(skip_out))
        yield f"{prefix}.skip_tp.weight", (skip * len(spec.atomic_numbers),)

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
