"""``RealAgnosticResidualInteractionBlock``: a skip connection maps the features by the centre's element."""

from typing import TYPE_CHECKING

from mlip_lammps.families.mace.interactions import register
from mlip_lammps.families.mace.interactions.block import InteractionBlock

if TYPE_CHECKING:
    from torch import Tensor

    from mlip_lammps.families.mace.lowering import InteractionLowering, LoweredInteraction
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs


class RealAgnosticResidual(InteractionBlock):
    """See the module docstring."""

    name = "RealAgnosticResidualInteractionBlock"

    @property
    def needs_skip(self) -> bool:
        return True

    def skip_irreps(self, irreps_in: str, irreps_message: str, irreps_out: str) -> tuple[str, str]:
        return irreps_in, irreps_out

    def reference(self, modules: "InteractionModules", inputs: "LayerInputs") -> "tuple[Tensor, Tensor]":
        summed = modules.sum_over_neighbours(modules.linear_up(inputs.features), inputs)
        message = modules.linear(summed) / modules.layer.avg_num_neighbors
        return message, modules.skip_tp(inputs.features, inputs.one_hot)

    def lower(self, lowering: "InteractionLowering") -> "LoweredInteraction":
        message = lowering.message("linear", 1.0 / lowering.layer.avg_num_neighbors)
        return lowering.lowered(message=message, skip=lowering.skip("skip_tp"))


register(RealAgnosticResidual())
