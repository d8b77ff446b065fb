"""``RealAgnosticInteractionBlock``: a map by the centre's element acts on the message; no skip connection."""

from typing import TYPE_CHECKING

from mlip_lammps.families.mace.interactions import register
from mlip_lammps.families.mace.interactions.block import InteractionBlock

if TYPE_CHECKING:
    from torch import Tensor

    from mlip_lammps.families.mace.lowering import InteractionLowering, LoweredInteraction
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs


class RealAgnostic(InteractionBlock):
    """See the module docstring."""

    name = "RealAgnosticInteractionBlock"

    def skip_irreps(self, irreps_in: str, irreps_message: str, irreps_out: str) -> tuple[str, str]:
        return irreps_message, irreps_message

    def reference(self, modules: "InteractionModules", inputs: "LayerInputs") -> "tuple[Tensor, None]":
        summed = modules.sum_over_neighbours(modules.linear_up(inputs.features), inputs)
        message = modules.linear(summed) / modules.layer.avg_num_neighbors
        return modules.skip_tp(message, inputs.one_hot), None

    def lower(self, lowering: "InteractionLowering") -> "LoweredInteraction":
        scale = 1.0 / lowering.layer.avg_num_neighbors
        return lowering.lowered(message=lowering.message("linear", scale, by_element="skip_tp"), skip=())


register(RealAgnostic())
