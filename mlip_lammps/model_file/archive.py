"""The model file: a ``.pt2`` archive with one program per layer and direction, and a metadata block."""

import json
import zipfile
from pathlib import Path
from typing import Any

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.model_file.contract import FORMAT_VERSION, METADATA_PATH


def is_archive(path: Path | str) -> bool:
    """Return whether ``path`` is a model file of this package, in any format version."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _metadata_name(archive) is not None
    except (OSError, zipfile.BadZipFile):
        return False


def read_metadata(path: Path | str) -> dict[str, Any]:
    """Return the metadata block without loading native code.

    Raises
    ------
    ModelFileError
        If the file is missing, is not a compiled model, or has another format version.
    """
    cure = f"create one with: mlip-lammps export MODEL -o {path}"
    try:
        with zipfile.ZipFile(path) as archive:
            name = _metadata_name(archive)
            if name is None:
                raise ModelFileError(f"{path} is not a compiled model (it has no metadata block); {cure}")
            metadata = json.loads(archive.read(name))
    except OSError as error:
        raise ModelFileError(f"cannot open model file {path}: {error.strerror}; check the path") from None
    except (zipfile.BadZipFile, ValueError) as error:
        raise ModelFileError(f"{path} is not a compiled model ({error}); {cure}") from None
    found = metadata.get("format_version") if isinstance(metadata, dict) else None
    if found != FORMAT_VERSION:
        raise ModelFileError(f"{path} has format version {found}, but this package reads {FORMAT_VERSION}; {cure}")
    return metadata


def add_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Write the metadata block into an archive that contains the programs."""
    add_member(path, METADATA_PATH, json.dumps(metadata, indent=1).encode())


def add_member(path: Path, name: str, content: bytes) -> None:
    """Add a member below the archive's root folder."""
    with zipfile.ZipFile(path, "a", compression=zipfile.ZIP_STORED) as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/{name}", content)


def _metadata_name(archive: zipfile.ZipFile) -> str | None:
    names = [name for name in archive.namelist() if name.partition("/")[2] == METADATA_PATH]
    return names[0] if len(names) == 1 else None
