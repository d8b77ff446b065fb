"""The family of MatGL's CHGNet: identification of its files, reader, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.families.matgl.folder import FILES, is_matgl_file
from mlip_lammps.families.matgl_chgnet.reader import MARKS, read_potential_of_chgnet
from mlip_lammps.families.matgl_chgnet.spec import FAMILY_NAME, MatGLCHGNetModel

if TYPE_CHECKING:
    from mlip_lammps.families.matgl_chgnet.layers import MatGLCHGNetLayers
    from mlip_lammps.families.matgl_chgnet.reference import MatGLCHGNetReference


class MatGLCHGNetFamily:
    """CHGNet potentials of MatGL, see ``Family``."""

    name = FAMILY_NAME
    files = FILES

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return is_matgl_file(path, start, MARKS)

    def read(self, path: Path) -> MatGLCHGNetModel:
        return read_potential_of_chgnet(path)

    def form_of(self, path: Path) -> str:
        return "MatGL potential"

    def reference(self, trained: MatGLCHGNetModel) -> "MatGLCHGNetReference":
        from mlip_lammps.families.matgl_chgnet.reference import MatGLCHGNetReference

        return MatGLCHGNetReference(trained)

    def layers(self, trained: MatGLCHGNetModel, atomic_numbers: tuple[int, ...]) -> "MatGLCHGNetLayers":
        from mlip_lammps.families.matgl_chgnet.layers import MatGLCHGNetLayers

        return MatGLCHGNetLayers(trained, atomic_numbers)


FAMILY = MatGLCHGNetFamily()
