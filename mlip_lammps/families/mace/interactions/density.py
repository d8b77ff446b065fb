"""Base class of the blocks that divide the message by a density of neighbours instead of ``avg_num_neighbors``."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlip_lammps.families.mace.interactions.block import InteractionBlock, Shapes
from mlip_lammps.families.mace.reader import checks

if TYPE_CHECKING:
    from torch import Tensor

    from mlip_lammps.families.mace.lowering import InteractionLowering
    from mlip_lammps.families.mace.reader.module import Module
    from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs
    from mlip_lammps.families.mace.spec import LayerSpec, ModelSpec
    from mlip_lammps.kernels.lowered import Density

DENSITY_FUNCTION = "density_fn"
"""Name of the module that maps the radial basis to one number."""


class DensityBlock(InteractionBlock):
    """An interaction block whose message is divided by 1 + sum_j tanh(d(r_ij)^2), with d linear in the radial basis."""

    def arrays(self, block: "Module") -> "Iterator[tuple[Module, str]]":
        yield from super().arrays(block)
        for module in block.child(DENSITY_FUNCTION).children():
            yield module, "weight"

    def check(self, block: "Module", n_elements: int, irreps_in: str, irreps_message: str, irreps_out: str) -> None:
        super().check(block, n_elements, irreps_in, irreps_message, irreps_out)
        checks.density_function(block.child(DENSITY_FUNCTION))

    def weight_shapes(self, spec: "ModelSpec", layer: "LayerSpec", prefix: str) -> Shapes:
        yield from super().weight_shapes(spec, layer, prefix)
        yield f"{prefix}.{DENSITY_FUNCTION}.layer0.weight", (spec.radial.n_basis, 1)

    def normalized_message(self, modules: "InteractionModules", inputs: "LayerInputs") -> "Tensor":
        """Return the message divided by the density, shape (n_atoms, dim of ``irreps_message``)."""
        summed = modules.sum_over_neighbours(modules.linear_up(inputs.features), inputs)
        weight = inputs.basis.new_tensor(modules.array(f"{DENSITY_FUNCTION}.layer0.weight"))
        values = (inputs.basis @ weight / len(weight) ** 0.5).square().tanh()
        if inputs.cutoff is not None:
            values = values * inputs.cutoff
        density = values.new_zeros(len(summed), 1).index_add(0, inputs.edge_centre, values)
        return modules.linear(summed) / (1 + density)

    @staticmethod
    def lowered_density(lowering: "InteractionLowering") -> "Density":
        """Return the divisor of the message."""
        return lowering.density(lowering.network(DENSITY_FUNCTION, 1))
