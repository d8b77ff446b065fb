"""Check that each program of a model file has a library of its own.

AOTInductor names a library by its code. Two layers of one shape have the same code with other weights, and programs
compiled side by side in one folder can end with one library for both. All ranks would then agree on a wrong energy.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.export import ExportedProgram

from mlip_lammps.core.errors import MlipError

_NOT_WRITTEN = "the file was not written; export again, and report the model if it happens again"


@dataclass(frozen=True)
class ProgramFiles:
    """Files of a compiled program.

    Attributes
    ----------
    content
        Digest of the traced program with its constants.
    files
        Paths of its library and metadata.
    """

    content: str
    files: tuple[str, ...]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"content": self.content, "files": self.files}))

    @classmethod
    def read(cls, path: Path) -> "ProgramFiles":
        found = json.loads(path.read_text())
        return cls(found["content"], tuple(found["files"]))

    def library(self) -> str:
        """Return the digest of its library."""
        return _digest(Path(name).read_bytes() for name in self.files if name.endswith(".so"))


def content_of(program: ExportedProgram) -> str:
    """Return a digest of a traced program and of all its constants."""
    digest = hashlib.sha256(program.graph_module.code.encode())
    for name, value in sorted({**program.state_dict, **program.constants}.items()):
        digest.update(name.encode())
        if isinstance(value, torch.Tensor):
            digest.update(f"{value.dtype} {tuple(value.shape)}".encode())
            digest.update(value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def require_own_libraries(programs: Mapping[str, ProgramFiles], archive: Path) -> None:
    """Raise unless different programs have different libraries, and the archive contains the library of each.

    Parameters
    ----------
    programs
        By name.
    archive
        File with all programs.

    Raises
    ------
    MlipError
        If two programs share a file or a library, or if the archive has another library under a program's name.
    """
    owner_of_file: dict[str, str] = {}
    owner_of_library: dict[str, str] = {}
    packed = _packed_libraries(archive)
    for name, program in programs.items():
        for file in program.files:
            other = owner_of_file.setdefault(file, name)
            if other != name:
                raise MlipError(f"the programs {other} and {name} share the file {Path(file).name}; {_NOT_WRITTEN}")
        library = program.library()
        other = owner_of_library.setdefault(library, name)
        if programs[other].content != program.content:
            raise MlipError(
                f"the programs {other} and {name} differ, but have one library (sha256 {library[:12]}); {_NOT_WRITTEN}"
            )
        if packed.get(name) != library:
            raise MlipError(
                f"the archive has another library for the program {name} than was compiled (sha256 "
                f"{(packed.get(name) or 'none')[:12]}, expected {library[:12]}); {_NOT_WRITTEN}"
            )



def _packed_libraries(path: Path) -> dict[str, str]:
    """Return the digest of the library of each program in an archive."""
    with zipfile.ZipFile(path) as archive:
        members = [name.split("/") for name in archive.namelist() if name.endswith(".so")]
        places = {parts[3]: "/".join(parts) for parts in members if parts[1:3] == ["data", "aotinductor"]}
        return {name: _digest([archive.read(place)]) for name, place in places.items()}


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
