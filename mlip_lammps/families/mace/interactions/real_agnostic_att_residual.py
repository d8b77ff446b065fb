"""``RealAgnosticAttResidualInteractionBlock``: radial functions that depend on the features of both atoms."""

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlip_lammps.families.irreps import linear_size, parse_irreps
from mlip_lammps.families.mace.interactions import register
from mlip_lammps.families.mace.interactions.block import InteractionBlock, Shapes, linear_up_shapes, n_radial_weights
from mlip_lammps.families.mace.reader import checks

if TYPE_CHECKING:
    from torch import Tensor

    from mlip_lammps.families.mace.lowering import InteractionLowering, LoweredInteraction
    from mlip_lammps.families.mace.reader.module import Module
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs
    from mlip_lammps.families.mace.spec import LayerSpec, ModelSpec

N_DOWN = 64
"""Scalars of each atom that enter the radial network; mace-torch has no other number."""


class RealAgnosticAttResidual(InteractionBlock):
    """The radial network takes the basis, then scalars of the neighbour, then scalars of the centre."""

    name = "RealAgnosticAttResidualInteractionBlock"
    vanishes_with_basis = False

    @property
    def needs_skip(self) -> bool:
        return True

    def skip_irreps(self, irreps_in: str, irreps_message: str, irreps_out: str) -> tuple[str, str]:
        return irreps_in, irreps_out

    def read(self, block: "Module") -> dict[str, Any]:
        return {"n_down": N_DOWN}

    def arrays(self, block: "Module") -> "Iterator[tuple[Module, str]]":
        modules = [block.child(name) for name in ("linear_up", "linear_down", "linear", "skip_linear")]
        for module in (*modules, *block.child("conv_tp_weights").children()):
            yield module, "weight"

    def check(self, block: "Module", n_elements: int, irreps_in: str, irreps_message: str, irreps_out: str) -> None:
        for name, expected in {
            "skip_linear": (irreps_in, irreps_out),
            "linear_down": (irreps_in, f"{N_DOWN}x0e"),
        }.items():
            found = checks.linear(block.child(name))
            checks.require(found == expected, block.child(name), "irreps", " -> ".join(found))

    def weight_shapes(self, spec: "ModelSpec", layer: "LayerSpec", prefix: str) -> Shapes:
        yield from linear_up_shapes(layer, prefix)
        given, mid, message, out = map(
            parse_irreps, (layer.irreps_in, layer.irreps_mid, layer.irreps_message, layer.irreps_out)
        )
        yield f"{prefix}.linear_down.weight", (linear_size(given, parse_irreps(f"{N_DOWN}x0e")),)
        yield f"{prefix}.linear.weight", (linear_size(mid, message),)
        yield f"{prefix}.skip_linear.weight", (linear_size(given, out),)
        widths = (spec.radial.n_basis + 2 * N_DOWN, *layer.radial_widths, n_radial_weights(layer))
        for k, shape in enumerate(pairwise(widths)):
            yield f"{prefix}.conv_tp_weights.layer{k}.weight", shape

    def build(self, modules: "InteractionModules") -> None:
        layer = modules.layer
        modules.add_linear("linear_down", layer.irreps_in, f"{N_DOWN}x0e")
        modules.add_linear("linear", layer.irreps_mid, layer.irreps_message)
        modules.add_linear("skip_linear", layer.irreps_in, layer.irreps_out)

    def radial_inputs(self, modules: "InteractionModules", inputs: "LayerInputs") -> "Tensor":
        down = modules.linear_down(inputs.features)
        return inputs.basis_and_elements(down, down)

    def reference(self, modules: "InteractionModules", inputs: "LayerInputs") -> "tuple[Tensor, Tensor]":
        summed = modules.sum_over_neighbours(modules.linear_up(inputs.features), inputs)
        message = modules.linear(summed) / modules.layer.avg_num_neighbors
        return message, modules.skip_linear(inputs.features)

    def lower(self, lowering: "InteractionLowering") -> "LoweredInteraction":
        layer = lowering.layer
        radial, attention = lowering.attention("conv_tp_weights", "linear_down", N_DOWN)
        return lowering.lowered(
            message=lowering.message("linear", 1.0 / layer.avg_num_neighbors),
            skip=lowering.linear("skip_linear", layer.irreps_in, layer.irreps_out),
            radial=radial,
            attention=attention,
        )


register(RealAgnosticAttResidual())
