"""The family of ANI potentials: identification of their files, readers, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.families.ani.neurochem import INFO_ENDING, read_neurochem
from mlip_lammps.families.ani.spec import FAMILY_NAME, AniModel
from mlip_lammps.families.ani.torch_file import is_torch_file, read_torch_file

if TYPE_CHECKING:
    from mlip_lammps.families.ani.layers import AniLayers
    from mlip_lammps.families.ani.reference import AniReference


class AniFamily:
    """ANI potentials of TorchANI and NeuroChem, see ``Family``."""

    name = FAMILY_NAME
    files = "TorchANI (.pt), NeuroChem (.info)"

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return path.suffix == INFO_ENDING or is_torch_file(path, start)

    def read(self, path: Path) -> AniModel:
        return read_neurochem(path) if path.suffix == INFO_ENDING else read_torch_file(path)

    def form_of(self, path: Path) -> str:
        return "NeuroChem potential" if path.suffix == INFO_ENDING else "TorchANI model"

    def reference(self, trained: AniModel) -> "AniReference":
        from mlip_lammps.families.ani.reference import AniReference

        return AniReference(trained)

    def layers(self, trained: AniModel, atomic_numbers: tuple[int, ...]) -> "AniLayers":
        from mlip_lammps.families.ani.layers import AniLayers

        return AniLayers(trained, atomic_numbers)


FAMILY = AniFamily()
