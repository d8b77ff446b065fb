"""Check that each program of a model file has a library of its own.

AOTInductor names the files of a program by its code. Two layers of one shape have the same code with other weights, and
programs compiled side by side in one folder can end with the weights of one for both. All ranks would then agree on a
wrong energy.
"""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from torch.export import ExportedProgram

from mlip_lammps.core.errors import MlipError

_PARTS = {".so": "another library", ".blob": "other weights"}
"""Files of a program by suffix, and what an error calls a wrong one."""
_NOT_WRITTEN = "the file was not written; export again, and report the model if it happens again"


@dataclass(frozen=True)
class ProgramFiles:
    """Files of a compiled program.

    Attributes
    ----------
    code
        Digest of the code of the traced program. Its weights are not part of it.
    files
        Paths of its library, weights and metadata.
    """

    code: str
    files: tuple[str, ...]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"code": self.code, "files": self.files}))

    @classmethod
    def read(cls, path: Path) -> "ProgramFiles":
        found = json.loads(path.read_text())
        return cls(found["code"], tuple(found["files"]))

    def digests(self) -> dict[str, str]:
        """Return the digests of its library and of its weights, by suffix."""
        found = {Path(name).suffix: name for name in self.files}
        return {suffix: _digest(open(found[suffix], "rb")) for suffix in _PARTS if suffix in found}


def code_of(program: ExportedProgram) -> str:
    """Return a digest of the code of a traced program."""
    return hashlib.sha256(program.graph_module.code.encode()).hexdigest()


def require_own_libraries(programs: Mapping[str, ProgramFiles], archive: Path) -> None:
    """Raise unless programs of different code have different libraries, and the archive has the files of each.

    Parameters
    ----------
    programs
        By name.
    archive
        File with all programs.

    Raises
    ------
    MlipError
        If two programs share a file, if programs of different code share a library, or if the archive has another
        library or other weights under a program's name.
    """
    owner_of_file: dict[str, str] = {}
    owner_of_library: dict[str, str] = {}
    packed = _packed_digests(archive)
    for name, program in programs.items():
        for file in program.files:
            other = owner_of_file.setdefault(file, name)
            if other != name:
                raise MlipError(f"the programs {other} and {name} share the file {Path(file).name}; {_NOT_WRITTEN}")
        digests = program.digests()
        other = owner_of_library.setdefault(digests[".so"], name)
        if programs[other].code != program.code:
            raise MlipError(
                f"the programs {other} and {name} differ, but have one library (sha256 {digests['.so'][:12]}); "
                f"{_NOT_WRITTEN}"
            )
        for suffix, part in _PARTS.items():
            expected, found = (one.get(suffix) for one in (digests, packed.get(name, {})))
            if found != expected:
                raise MlipError(
                    f"the archive has {part} for the program {name} than was compiled (sha256 "
                    f"{(found or 'none')[:12]}, expected {(expected or 'none')[:12]}); {_NOT_WRITTEN}"
                )


def _packed_digests(path: Path) -> dict[str, dict[str, str]]:
    """Return the digests of the library and of the weights of each program in an archive, by suffix."""
    packed: dict[str, dict[str, str]] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            parts, suffix = member.split("/"), Path(member).suffix
            if parts[1:3] == ["data", "aotinductor"] and suffix in _PARTS:
                packed.setdefault(parts[3], {})[suffix] = _digest(archive.open(member))
    return packed


def _digest(opened: IO[bytes]) -> str:
    digest = hashlib.sha256()
    with opened as file:
        while block := file.read(1 << 20):  # weights may take gigabytes
            digest.update(block)
    return digest.hexdigest()
