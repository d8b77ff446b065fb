"""The SevenNet family: identification of its files, reader, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlip_lammps.families.gated.modals import select_modal
from mlip_lammps.families.gated.spec import GatedModel
from mlip_lammps.families.sevennet.checkpoint import FAMILY_NAME, is_checkpoint, read_checkpoint

if TYPE_CHECKING:
    from mlip_lammps.families.gated.layers import GatedLayers
    from mlip_lammps.families.gated.reference import GatedReference


class SevenNetFamily:
    """The SevenNet family, see ``Family``."""

    name = FAMILY_NAME
    files = "SevenNet (.pth)"
    exact_radial = "the trained network"

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return is_checkpoint(path, start)

    def read(self, path: Path) -> GatedModel:
        return read_checkpoint(path)

    def form_of(self, path: Path) -> str:
        return "SevenNet checkpoint"

    def line_of_layer(self, layer: dict[str, Any]) -> str:
        return (
            f"{layer['irreps_in']} to {layer['irreps_out']}, {len(layer['paths'])} paths, radial MLP "
            f"{'-'.join(map(str, layer['radial_widths']))}, self-connection {layer['self_connection']}"
        )

    def select_head(self, trained: GatedModel, head: str | None) -> GatedModel:
        return select_modal(trained, head)

    def reference(self, trained: GatedModel) -> "GatedReference":
        from mlip_lammps.families.gated.reference import GatedReference

        return GatedReference(select_modal(trained, None))

    def layers(self, trained: GatedModel, atomic_numbers: tuple[int, ...]) -> "GatedLayers":
        from mlip_lammps.families.gated.layers import GatedLayers
        from mlip_lammps.families.gated.lowering import lower

        return GatedLayers(lower(select_modal(trained, None), atomic_numbers))


FAMILY = SevenNetFamily()
