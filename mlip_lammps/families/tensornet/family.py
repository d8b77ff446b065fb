"""The TensorNet family: identification of its files, reader, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.families.matgl.folder import FILES, is_matgl_file
from mlip_lammps.families.tensornet.reader import MARKS, read_tensornet
from mlip_lammps.families.tensornet.spec import FAMILY_NAME, TensorNetModel

if TYPE_CHECKING:
    from mlip_lammps.families.tensornet.layers import TensorNetLayers
    from mlip_lammps.families.tensornet.reference import TensorNetReference


class TensorNetFamily:
    """TensorNet potentials of MatGL, see ``Family``."""

    name = FAMILY_NAME
    files = FILES

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return is_matgl_file(path, start, MARKS)

    def read(self, path: Path) -> TensorNetModel:
        return read_tensornet(path)

    def form_of(self, path: Path) -> str:
        return "MatGL potential"

    def reference(self, trained: TensorNetModel) -> "TensorNetReference":
        from mlip_lammps.families.tensornet.reference import TensorNetReference

        return TensorNetReference(trained)

    def layers(self, trained: TensorNetModel, atomic_numbers: tuple[int, ...]) -> "TensorNetLayers":
        from mlip_lammps.families.tensornet.layers import TensorNetLayers

        return TensorNetLayers(trained, atomic_numbers)


FAMILY = TensorNetFamily()
