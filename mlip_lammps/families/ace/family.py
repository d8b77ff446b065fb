"""The family of atomic cluster expansions: identification of their files, readers, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.families.ace.reader import is_potential, read_potential
from mlip_lammps.families.ace.spec import FAMILY_NAME, AceModel

if TYPE_CHECKING:
    from mlip_lammps.families.ace.layers import AceLayers
    from mlip_lammps.families.ace.reference import AceReference


class AceFamily:
    """Atomic cluster expansions of the PACE library, see ``Family``."""

    name = FAMILY_NAME
    files = "PACE (.yace, .ace)"

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return is_potential(path, start)

    def read(self, path: Path) -> AceModel:
        return read_potential(path)

    def form_of(self, path: Path) -> str:
        return "PACE potential"

    def reference(self, trained: AceModel) -> "AceReference":
        from mlip_lammps.families.ace.reference import AceReference

        return AceReference(trained)

    def layers(self, trained: AceModel, atomic_numbers: tuple[int, ...]) -> "AceLayers":
        from mlip_lammps.families.ace.layers import AceLayers

        return AceLayers(trained, atomic_numbers)


FAMILY = AceFamily()
