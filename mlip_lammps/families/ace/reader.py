"""Identification and reader of the potentials of the PACE library, without torch."""

from pathlib import Path

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.ace.spec import AceModel
from mlip_lammps.families.ace.text_file import START, read_text
from mlip_lammps.families.ace.yace import read_yace
from mlip_lammps.models import ACE_ENDINGS

_HEAD = 4096
"""Bytes from the beginning in which a file shows its format."""
_LARGEST_FILE = 1 << 30
_YAML_ENDINGS = (".yaml", ".yml")
_YAML_MARKS = ("speciesblock", "deltaSplineBins", "DeltaSplineBins", "emb_spec")


def is_potential(path: Path, start: bytes) -> bool:
    """Return whether a file is a potential of the PACE library, pacemaker or GRACE/FS, by its ending or beginning."""
    if path.suffix in ACE_ENDINGS:
        return True
    if not start.isascii() or b"\0" in start:
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD).decode("utf-8", errors="replace")
    if path.suffix in _YAML_ENDINGS:
        return any(mark in head for mark in _YAML_MARKS)
    return any(line.startswith(START) for line in head.splitlines()) or "deltaSplineBins:" in head


def is_text(text: str) -> bool:
    """Return whether the content is in the older text format."""
    return any(line.lstrip().startswith(START) for line in text[:_HEAD].splitlines())


def read_potential(path: Path) -> AceModel:
    """Read a potential in either format.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If the potential has a feature that is not supported; the message names it.
    """
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ModelFileError(f"{path} has {path.stat().st_size} bytes, expected a text file; check the path")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read ({error.strerror}); copy the file again") from error
    except UnicodeDecodeError as error:
        raise ModelFileError(f"{path} is not a text file ({error.reason}); copy the file again") from error
    return (read_text if is_text(text) else read_yace)(path, text).model()
