"""The M3GNet family: identification of its files, reader, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.families.m3gnet.reader import MARKS, read_m3gnet
from mlip_lammps.families.m3gnet.spec import FAMILY_NAME, M3GNetModel
from mlip_lammps.families.matgl.folder import DESCRIPTION_NAME, FILES, is_matgl_file

if TYPE_CHECKING:
    from mlip_lammps.families.m3gnet.layers import M3GNetLayers
    from mlip_lammps.families.m3gnet.reference import M3GNetReference


class M3GNetFamily:
    """M3GNet potentials of MatGL, see ``Family``."""

    name = FAMILY_NAME
    files = FILES

    def is_model_file(self, path: Path, start: bytes) -> bool:
        # also a folder whose model.pt is missing
        return path.name == DESCRIPTION_NAME or is_matgl_file(path, start, MARKS)

    def read(self, path: Path) -> M3GNetModel:
        return read_m3gnet(path)

    def form_of(self, path: Path) -> str:
        return "MatGL potential"

    def reference(self, trained: M3GNetModel) -> "M3GNetReference":
        from mlip_lammps.families.m3gnet.reference import M3GNetReference

        return M3GNetReference(trained)

    def layers(self, trained: M3GNetModel, atomic_numbers: tuple[int, ...]) -> "M3GNetLayers":
        from mlip_lammps.families.m3gnet.layers import M3GNetLayers

        return M3GNetLayers(trained, atomic_numbers)


FAMILY = M3GNetFamily()
