"""The family of Behler-Parrinello networks: identification of its files, reader, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.families.bpnn.reader import read_potential
from mlip_lammps.families.bpnn.spec import FAMILY_NAME, BpnnModel
from mlip_lammps.models import INPUT_NAME

if TYPE_CHECKING:
    from mlip_lammps.families.bpnn.layers import BpnnLayers
    from mlip_lammps.families.bpnn.reference import BpnnReference


class BpnnFamily:
    """Behler-Parrinello networks of n2p2 and RuNNer, see ``Family``."""

    name = FAMILY_NAME
    files = "n2p2 or RuNNer (folder with input.nn)"

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return path.name == INPUT_NAME

    def read(self, path: Path) -> BpnnModel:
        return read_potential(path)

    def form_of(self, path: Path) -> str:
        return "n2p2 or RuNNer potential"

    def reference(self, trained: BpnnModel) -> "BpnnReference":
        from mlip_lammps.families.bpnn.reference import BpnnReference

        return BpnnReference(trained)

    def layers(self, trained: BpnnModel, atomic_numbers: tuple[int, ...]) -> "BpnnLayers":
        from mlip_lammps.families.bpnn.layers import BpnnLayers

        return BpnnLayers(trained, atomic_numbers)


FAMILY = BpnnFamily()
