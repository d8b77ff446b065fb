"""Compiled models kept between runs, under a key of everything that shapes them."""

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from mlip_lammps.checkpoint import read_model
from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.export import compilation, contract
from mlip_lammps.export.archive import read_metadata
from mlip_lammps.export.model_export import export_model


def cache_folder() -> Path:
    """Return ``MLIP_LAMMPS_CACHE``, else the folder that the XDG base directory specification names."""
    if folder := os.environ.get("MLIP_LAMMPS_CACHE"):
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "mlip-lammps")


def compiled_model(
    source: Path | str,
    *,
    dtype: str = "float64",
    device: str = "cpu",
    elements: Sequence[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Return a compiled form of ``source`` for this machine, from the cache where it is there.

    Parameters and errors are those of ``export_model``.
    """
    key = {
        "source": read_model(Path(source)).source_sha256,
        "elements": elements and list(elements),
        "dtype": dtype,
        "device": device,
        "torch": torch.__version__,
        "machine": compilation.machine_record(),
        "package": version("mlip-lammps"),
        "code": _code_digest(),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / f"{Path(source).stem}-{dtype}-{digest}.pt2"
    try:
        read_metadata(path)
    except ModelFileError:
        path.parent.mkdir(parents=True, exist_ok=True)
        export_model(source, path, dtype=dtype, device=device, elements=elements, progress=progress)
    return path


def _code_digest() -> str:
    """Return a digest of the code that a compiled model is made from."""
    package = Path(contract.__file__).parent.parent
    files = sorted([*package.glob("export/*.py"), *package.glob("kernels/*")])
    return hashlib.sha256(b"".join(file.read_bytes() for file in files if file.is_file())).hexdigest()
