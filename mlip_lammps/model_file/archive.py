"""The model file: a ``.pt2`` archive with one program per layer and direction, and a metadata block."""

import json
import shlex
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlip_lammps.core.errors import DAMAGED_ZIP, ModelFileError
from mlip_lammps.model_file.contract import CHECKSUMS_PATH, FORMAT_VERSION, METADATA_PATH
from mlip_lammps.models import shipped_models

_TRAINED_SUFFIXES = (".model", ".safetensors", ".pt", ".pth")


def is_archive(path: Path | str) -> bool:
    """Return whether ``path`` is a model file of this package, in any format version."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _metadata_name(archive) is not None
    except (OSError, *DAMAGED_ZIP):
        return False


def read_metadata(path: Path | str) -> dict[str, Any]:
    """Return the metadata block without loading native code.

    Raises
    ------
    ModelFileError
        If the file is missing, is not a compiled model, or has another format version.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            name = _metadata_name(archive)
            if name is None:
                raise ModelFileError(
                    f"{path} is not a compiled model (it has no metadata block); {_make_another(path)}"
                )
            content = archive.read(name)
            metadata = json.loads(content)
            _check_checksum(archive, content, metadata)
    except IsADirectoryError:
        raise ModelFileError(
            f"{path} is a folder, not a model file; name the .pt2 file, or make one with: "
            "mlip-lammps export MODEL -o FILE.pt2"
        ) from None
    except FileNotFoundError:
        raise ModelFileError(_not_found(path)) from None
    except OSError as error:
        raise ModelFileError(f"cannot open model file {path}: {error.strerror}; check the path") from None
    except DAMAGED_ZIP as error:
        if _is_begun(path):
            again = f", or {_make_again(path)}" if path.suffix == ".pt2" else ""
            raise ModelFileError(
                f"{path} is truncated or damaged ({error}, {path.stat().st_size} bytes); copy it again{again}"
            ) from None
        raise ModelFileError(f"{path} is not a compiled model ({error}); {_make_another(path)}") from None
    found = metadata.get("format_version") if isinstance(metadata, dict) else None
    if found != FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {found}, but this package reads {FORMAT_VERSION}; {_make_again(path)}"
        )
    return metadata


def runs_on_gpu(path: Path | str) -> bool:
    """Return whether a model file runs on a GPU, which finds the edges of a step by itself.

    Raises
    ------
    ModelFileError
        As from ``read_metadata``.
    """
    return is_for_gpu(read_metadata(path))


def is_for_gpu(metadata: Mapping[str, Any]) -> bool:
    """Return whether the metadata of a file say that it runs on a GPU."""
    return metadata["device"] == "cuda"


def add_metadata(path: Path, metadata: dict[str, Any]) -> None:
    """Write the metadata block and the checksums of all members into an archive that contains the others."""
    add_member(path, METADATA_PATH, json.dumps(metadata | {"has_checksums": True}, indent=1).encode())
    with zipfile.ZipFile(path) as archive:
        checksums = {entry.filename.partition("/")[2]: entry.CRC for entry in archive.infolist()}
    add_member(path, CHECKSUMS_PATH, json.dumps(checksums, indent=1).encode())


def add_member(path: Path, name: str, content: bytes) -> None:
    """Add a member below the archive's root folder."""
    with zipfile.ZipFile(path, "a", compression=zipfile.ZIP_STORED) as archive:
        root = archive.namelist()[0].partition("/")[0]
        archive.writestr(f"{root}/{name}", content)


def _not_found(path: Path) -> str:
    where = "" if path.is_absolute() else f" in {Path.cwd()}"
    name = str(path).removesuffix(".pt2")
    if name in shipped_models():
        return f"no model file {path}{where}; make it first with: mlip-lammps export {name} -o {name}.pt2"
    return f"no model file {path}{where}; check the path, or make one with: mlip-lammps export MODEL -o FILE.pt2"


def _make_another(path: Path) -> str:
    """Return the next step for a file that no export wrote. It must not write over the file."""
    if path.suffix in _TRAINED_SUFFIXES:
        source, target = shlex.quote(str(path)), shlex.quote(str(path.with_suffix(".pt2")))
        return f"compile it with: mlip-lammps export {source} -o {target}"
    return "create one with: mlip-lammps export MODEL -o FILE.pt2"


def _make_again(path: Path) -> str:
    """Return the next step for a compiled file that cannot be used."""
    target = shlex.quote(str(path)) if path.suffix == ".pt2" else "FILE.pt2"
    return f"make it again with: mlip-lammps export MODEL -o {target}"


def _is_begun(path: Path | str) -> bool:
    """Return whether a file begins as a zip archive does or is empty: what an interrupted copy leaves."""
    with open(path, "rb") as file:
        return file.read(4) in (b"", b"PK\x03\x04") and not is_zip(path)


def _check_checksum(archive: zipfile.ZipFile, content: bytes, metadata: Any) -> None:
    """Raise ``ValueError`` unless the metadata block matches the list of checksums, if the file has one."""
    names = [name for name in archive.namelist() if name.partition("/")[2] == CHECKSUMS_PATH]
    if not names and isinstance(metadata, dict) and metadata.get("has_checksums"):
        raise ValueError("the list of checksums is missing")
    checksums = json.loads(archive.read(names[0])) if names else None
    if names and not (isinstance(checksums, dict) and checksums.get(METADATA_PATH) == zlib.crc32(content)):
        raise ValueError("wrong checksum of the metadata block")


def is_zip(path: Path | str) -> bool:
    """Return whether the file ends with the table of contents of a zip archive."""
    try:
        return zipfile.is_zipfile(path)
    except DAMAGED_ZIP:
        return False


def _metadata_name(archive: zipfile.ZipFile) -> str | None:
    names = [name for name in archive.namelist() if name.partition("/")[2] == METADATA_PATH]
    return names[0] if len(names) == 1 else None
