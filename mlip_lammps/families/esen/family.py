"""The eSEN family: identification of its files, reader, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlip_lammps.families.esen.reader import is_checkpoint, read_checkpoint
from mlip_lammps.families.esen.spec import FAMILY_NAME, EsenModel, select_dataset

if TYPE_CHECKING:
    from mlip_lammps.families.esen.layers import EsenLayers
    from mlip_lammps.families.esen.reference import EsenReference


class EsenFamily:
    """Conserving eSEN models of the Python package fairchem, see ``Family``."""

    name = FAMILY_NAME
    files = "fairchem (.pt: eSEN)"

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return is_checkpoint(path, start)

    def read(self, path: Path) -> EsenModel:
        return read_checkpoint(path)

    def form_of(self, path: Path) -> str:
        return "fairchem checkpoint"

    def select_head(self, trained: EsenModel, head: str | None) -> EsenModel:
        return select_dataset(trained, head)

    def reference(self, trained: EsenModel) -> "EsenReference":
        from mlip_lammps.families.esen.reference import EsenReference

        return EsenReference(select_dataset(trained, None))

    def layers(self, trained: EsenModel, atomic_numbers: tuple[int, ...]) -> "EsenLayers":
        from mlip_lammps.families.esen.layers import EsenLayers

        return EsenLayers(select_dataset(trained, None), atomic_numbers)


FAMILY = EsenFamily()
