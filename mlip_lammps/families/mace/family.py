"""The MACE family: identification of its files, reader, reference model and layers."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.mace.embeddings import global_inputs
from mlip_lammps.families.mace.heads import select_head
from mlip_lammps.families.mace.reader.inspection import inspect_mace_torch
from mlip_lammps.families.mace.reader.mace_torch import read_mace_torch
from mlip_lammps.families.mace.reader.portable import read_portable
from mlip_lammps.families.mace.reader.validation import check_model
from mlip_lammps.families.mace.spec import FAMILY_NAME, MaceModel
from mlip_lammps.model_file.archive import is_zip

if TYPE_CHECKING:
    from mlip_lammps.families.mace.layers import MaceLayers
    from mlip_lammps.families.mace.reference import MaceReference


class MaceFamily:
    """The MACE family, see ``Family``."""

    name = FAMILY_NAME
    files = "mace-torch (.model), mlip-lammps (.safetensors)"
    exact_radial = "the trained network"

    def is_model_file(self, path: Path, start: bytes) -> bool:
        # zip written by torch.save, bare pickle, or safetensors (8-byte header length, then JSON)
        return start[:2] == b"PK" or start[:1] == b"\x80" or start[8:9] == b"{"

    def read(self, path: Path) -> MaceModel:
        with path.open("rb") as stream:
            start = stream.read(16)
        # A file in torch's old format may also end with a zip archive: the first bytes decide.
        if start[:2] == b"PK":
            if not is_zip(path):
                raise ModelFileError(f"{path} is a truncated zip file; copy the model again")
            trained = read_mace_torch(path)
            check_model(trained)
            return trained
        if start[8:9] == b"{":
            return read_portable(path)
        raise ModelFileError(
            f"{path} is a bare pickle of torch before version 1.6, expected the zip format of torch.save; "
            "load it with mace-torch and save it again with torch.save(model, path)"
        )

    def inspect(self, path: Path) -> dict[str, Any]:
        return inspect_mace_torch(path)

    def form_of(self, path: Path) -> str:
        return "portable" if path.suffix == ".safetensors" else "mace-torch"

    def line_of_layer(self, layer: dict[str, Any]) -> str:
        readout = layer["readout"]
        parts = [
            layer["interaction"],
            f"{layer['irreps_in']} to {layer['irreps_out']}",
            f"messages {layer['irreps_message']}",
            f"correlation {layer['correlation']}",
            f"radial MLP {'-'.join(map(str, layer['radial_widths']))}",
            f"{layer['avg_num_neighbors']:.4g} neighbours on average",
        ]
        if readout is None:
            parts.append("no readout")
        elif readout["kind"] == "linear":
            parts.append("linear readout")
        else:
            parts.append(f"readout {readout['irreps_hidden']} with gate {readout['activation']}")
        return ", ".join(parts)

    def select_head(self, trained: MaceModel, head: str | None) -> MaceModel:
        return select_head(trained, head)

    def reference(self, trained: MaceModel) -> "MaceReference":
        from mlip_lammps.families.mace.reference import MaceReference

        return MaceReference(trained)

    def layers(self, trained: MaceModel, atomic_numbers: tuple[int, ...]) -> "MaceLayers":
        from mlip_lammps.families.mace.layers import MaceLayers
        from mlip_lammps.families.mace.lowering import lower

        return MaceLayers(lower(trained, atomic_numbers), global_inputs(trained.spec))


FAMILY = MaceFamily()
