"""The model file: a ``.pt2`` archive with a program per layer and direction, and a metadata block."""

import json
import zipfile
from pathlib import Path
from typing import Any

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.model_file.contract import FORMAT_VERSION, METADATA_PATH


def is_archive(path: Path | str) -> bool:
    """Return whether ``path`` is a model file of this package, of whatever version."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _metadata_name(archive) is not None
    except (OSError, zipfile.BadZipFile):
        return False


def read_metadata(path: Path | str) -> dict[str, Any]:
    """Return the metadata block; loads no native code.

    Raises
    ------
    ModelFileError
        If the file is missing or is no model of a version that is known.
    """
    cure = f"make one with: mlip-lammps export MODEL -o {path}"
    try:
        with zipfile.ZipFile(path) as archive:
            name = _metadata_name(archive)
            if name is None:
                raise ModelFileError(f"{path} is no compiled model (no metadata in it); {cure}")
            metadata = json.loads(archive.read(name))
    except OSError as error:
        raise ModelFileError(f"cannot open model file {path}: {error.strerror}") from None
    except (zipfile.BadZipFile, ValueError) as error:
        raise ModelFileError(f"{path} is no compiled model ({error}); {cure}") from None
    if not isinstance(metadata, dict) or metadata.get("format_version") != FORMAT_VERSION:
        raise ModelFileError(f"{path} has another format than {FORMAT_VERSION}, which this version reads; {cure}")
    return metadata


def runs_on_gpu(path: Path | str) -> bool:
    """Return whether a model file runs on a GPU, which finds the edges of a step by itself.

    Raises
    ------
    ModelFileError
        As from ``read_metadata``.
    """
    return read_metadata(path)["device"] == "cuda"


def add_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Write the metadata block into an archive that holds the programs."""
    add_member(path, METADATA_PATH, json.dumps(metadata, indent=1).encode())


def add_member(path: Path, name: str, content: bytes) -> None:
    """Write one more member, below the archive's root folder."""
    with zipfile.ZipFile(path, "a", compression=zipfile.ZIP_STORED) as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/{name}", content)


def _metadata_name(archive: zipfile.ZipFile) -> str | None:
    names = [name for name in archive.namelist() if name.partition("/")[2] == METADATA_PATH]
    return names[0] if len(names) == 1 else None
