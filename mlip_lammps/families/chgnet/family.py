"""The CHGNet family: identification of its files, reader, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.families.chgnet.reader import is_checkpoint, read_checkpoint
from mlip_lammps.families.chgnet.spec import FAMILY_NAME, CHGNetModel

if TYPE_CHECKING:
    from mlip_lammps.families.chgnet.layers import CHGNetLayers
    from mlip_lammps.families.chgnet.reference import CHGNetReference


class CHGNetFamily:
    """CHGNet potentials of the Python package chgnet, see ``Family``."""

    name = FAMILY_NAME
    files = "CHGNet (.pth.tar)"

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return is_checkpoint(path, start)

    def read(self, path: Path) -> CHGNetModel:
        return read_checkpoint(path)

    def form_of(self, path: Path) -> str:
        return "CHGNet checkpoint"

    def reference(self, trained: CHGNetModel) -> "CHGNetReference":
        from mlip_lammps.families.chgnet.reference import CHGNetReference

        return CHGNetReference(trained)

    def layers(self, trained: CHGNetModel, atomic_numbers: tuple[int, ...]) -> "CHGNetLayers":
        from mlip_lammps.families.chgnet.layers import CHGNetLayers

        return CHGNetLayers(trained, atomic_numbers)


FAMILY = CHGNetFamily()
