"""The NequIP family: identification of its files, reader, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlip_lammps.families.gated.spec import GatedModel
from mlip_lammps.families.nequip.package import is_package
from mlip_lammps.families.nequip.reader import FAMILY_NAME, is_nequip_file, read_nequip

if TYPE_CHECKING:
    from mlip_lammps.families.gated.layers import GatedLayers
    from mlip_lammps.families.gated.reference import GatedReference


class NequIPFamily:
    """The NequIP family, see ``Family``."""

    name = FAMILY_NAME
    files = "NequIP (.ckpt, .nequip.zip)"
    exact_radial = "the trained network"

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return is_nequip_file(path, start)

    def read(self, path: Path) -> GatedModel:
        return read_nequip(path)

    def form_of(self, path: Path) -> str:
        return "NequIP package" if is_package(path) else "NequIP checkpoint"

    def line_of_layer(self, layer: dict[str, Any]) -> str:
        return (
            f"{layer['irreps_in']} to {layer['irreps_out']}, {len(layer['paths'])} paths, radial MLP "
            f"{'-'.join(map(str, layer['radial_widths']))}, self-connection {layer['self_connection']}"
        )

    def reference(self, trained: GatedModel) -> "GatedReference":
        from mlip_lammps.families.gated.reference import GatedReference

        return GatedReference(trained)

    def layers(self, trained: GatedModel, atomic_numbers: tuple[int, ...]) -> "GatedLayers":
        from mlip_lammps.families.gated.layers import GatedLayers
        from mlip_lammps.families.gated.lowering import lower

        return GatedLayers(lower(trained, atomic_numbers))


FAMILY = NequIPFamily()
