"""``RealAgnosticDensityInteractionBlock``: ``RealAgnosticInteractionBlock`` with a density in place of its divisor."""

from typing import TYPE_CHECKING

from mlip_lammps.families.mace.interactions import register
from mlip_lammps.families.mace.interactions.density import DensityBlock

if TYPE_CHECKING:
    from torch import Tensor

    from mlip_lammps.families.mace.lowering import InteractionLowering, LoweredInteraction
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs


class RealAgnosticDensity(DensityBlock):
    """See the module docstring."""

    name = "RealAgnosticDensityInteractionBlock"

    def skip_irreps(self, irreps_in: str, irreps_message: str, irreps_out: str) -> tuple[str, str]:
        return irreps_message, irreps_message

    def reference(self, modules: "InteractionModules", inputs: "LayerInputs") -> "tuple[Tensor, None]":
        return modules.skip_tp(self.normalized_message(modules, inputs), inputs.one_hot), None

    def lower(self, lowering: "InteractionLowering") -> "LoweredInteraction":
        message = lowering.message("linear", 1.0, by_element="skip_tp")
        return lowering.lowered(message=message, skip=(), density=self.lowered_density(lowering))


register(RealAgnosticDensity())
