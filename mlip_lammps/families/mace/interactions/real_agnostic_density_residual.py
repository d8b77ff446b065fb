"""``RealAgnosticDensityResidualInteractionBlock``: the residual block with a density in place of its divisor."""

from typing import TYPE_CHECKING

from mlip_lammps.families.mace.interactions import register
from mlip_lammps.families.mace.interactions.density import DensityBlock

if TYPE_CHECKING:
    from torch import Tensor

    from mlip_lammps.families.mace.lowering import InteractionLowering, LoweredInteraction
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs


class RealAgnosticDensityResidual(DensityBlock):
    """See the module docstring."""

    name = "RealAgnosticDensityResidualInteractionBlock"

    @property
    def needs_skip(self) -> bool:
        return True

    def skip_irreps(self, irreps_in: str, irreps_message: str, irreps_out: str) -> tuple[str, str]:
        return irreps_in, irreps_out

    def reference(self, modules: "InteractionModules", inputs: "LayerInputs") -> "tuple[Tensor, Tensor]":
        skip = modules.skip_tp(inputs.features, inputs.one_hot)
        return self.normalized_message(modules, inputs), skip

    def lower(self, lowering: "InteractionLowering") -> "LoweredInteraction":
        message, density = lowering.message("linear", 1.0), self.lowered_density(lowering)
        return lowering.lowered(message=message, skip=lowering.skip("skip_tp"), density=density)


register(RealAgnosticDensityResidual())
