"""Cache of compiled models. The key includes everything that affects the compilation.

The export is imported only when a model must be compiled: importing e3nn and the compiler of torch takes seconds, which
cached models avoid.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryFile
from types import ModuleType

from filelock import FileLock

from mlip_lammps.core.arguments import require_words
from mlip_lammps.core.errors import ModelFileError, UserInputError
from mlip_lammps.core.precision import DEFAULT_DTYPE
from mlip_lammps.families import Family, TrainedModel, family_of, read_model, select_head
from mlip_lammps.kernels.backend import backend_of
from mlip_lammps.model_file import contract
from mlip_lammps.model_file.archive import is_archive, read_metadata
from mlip_lammps.models import resolve_model, shipped_models

CACHE_VARIABLE = "MLIP_LAMMPS_CACHE"

_DEVICE_NAMES = {"cpu": "CPU", "cuda": "GPU"}
_CACHE_CURE = (
    f"set {CACHE_VARIABLE} to a writable folder, or compile once with "
    "mlip-lammps export MODEL -o FILE.pt2 and give FILE.pt2 instead of MODEL"
)


def cache_folder() -> Path:
    """Return ``MLIP_LAMMPS_CACHE``, else the folder of the XDG base directory specification.

    Raises
    ------
    UserInputError
        If no variable is set and this user has no home folder.
    """
    if folder := os.environ.get(CACHE_VARIABLE):
        return Path(folder)
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder, "mlip-lammps")
    try:
        return Path.home() / ".cache" / "mlip-lammps"
    except RuntimeError:
        raise UserInputError(f"this user has no home folder for compiled models; {_CACHE_CURE}") from None


def _make_writable(folder: Path) -> None:
    """Create the cache folder and test that it is writable, before minutes of compilation.

    Raises
    ------
    UserInputError
        If the folder cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserInputError(
            f"cannot write to the folder of compiled models {folder} ({error.strerror}); {_CACHE_CURE}"
        ) from None


def compiled_model(
    source: Path | str,
    *,
    dtype: str = DEFAULT_DTYPE,
    device: str = "cpu",
    radial: str = "table",
    elements: Sequence[str] | None = None,
    head: str | None = None,
    progress: Callable[[str], None] | None = None,
    check: Callable[[TrainedModel], None] = lambda trained: None,
) -> Path:
    """Return ``source`` compiled for ``device``, from the cache if possible.

    Parameters and errors are those of ``export_model``; a cache folder that is not writable raises
    ``UserInputError``. ``check`` may refuse the trained model before it is compiled.
    """
    source = resolve_model(source)
    if elements is not None:
        require_words("elements", elements)
    trained = select_head(read_model(source), head)
    check(trained)
    key = {
        "source": trained.source_sha256,
        "content": trained.content_digest(),
        "elements": elements and list(elements),
        "dtype": dtype,
        "device": device,
        "radial": radial,
        **backend_of(device).fingerprint(),
        "package": version("mlip-lammps"),
        "code": _code_digest(),
        "family": _family_digest(family_of(trained)),
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / f"{_label(source)}-{dtype}-{digest}.pt2"
    if _is_complete(path):
        return path
    _make_writable(path.parent)
    with FileLock(path.with_suffix(".lock")):  # wait while another process compiles the same model
        if not _is_complete(path):
            from mlip_lammps.compilation.export import export_trained

            options = {"dtype": dtype, "device": device, "radial": radial, "elements": elements}
            export_trained(trained, path, progress=progress, **options)
    return path


def require_device(model: Path | str, device: str | None) -> None:
    """Raise an error unless a compiled file is for a device; None accepts any device.

    Raises
    ------
    ModelFileError
        If the file is not a compiled model.
    UserInputError
        If it is for another device.
    """
    if device is None:
        return
    found = read_metadata(model)["device"]
    if found != backend_of(device).runs_on:
        raise UserInputError(
            f"{model} is compiled for a {_DEVICE_NAMES[found]}, but device {device} is requested; compile the model "
            f"again with: mlip-lammps export --device {device}"
        )


def require_head(model: Path | str, head: str | None) -> None:
    """Raise unless a compiled file has the head; any is right if None.

    Raises
    ------
    ModelFileError
        If the file is not a compiled model.
    UserInputError
        If it has another head.
    """
    found = read_metadata(model).get("head") if head is not None else None
    if found != head:
        raise UserInputError(
            f"{model} is compiled for the head {found}, and the head {head} was asked for; compile the trained model "
            f"again with: mlip-lammps export --head {head}"
        )


def runnable_model(model: Path | str, device: str | None = None, head: str | None = None) -> Path:
    """Return a file that ASE and LAMMPS can run: ``model`` itself if it is compiled, else its compiled form.

    A model that is not in the cache is compiled in the default precision. A line on stderr reports it: for a CPU it
    takes about a minute.

    Parameters
    ----------
    model
        Name of a shipped model, or a compiled, portable or trained file.
    device
        See ``export_model``; a CPU if None. A compiled file must be for this device if one is given.
    head
        See ``export_model``. A compiled file must have this head if one is given.

    Raises
    ------
    ModelFileError
        If there is no such file or name, or the file is not a model.
    UserInputError
        If a compiled file is for another device or head, or if a model has several heads and none is chosen.
    MlipError
        See ``export_model``.
    """
    path = resolve_model(model)
    # return a damaged .pt2 file as well: opening it raises the specific error
    if path.suffix == ".pt2" or is_archive(path):
        require_device(path, device)
        require_head(path, head)
        return path
    device = device or "cpu"
    lines: list[str] = []

    def tell(line: str) -> None:
        if not lines:
            print(f"mlip-lammps: compiling {model} {backend_of(device).duration}, once", file=sys.stderr)
        lines.append(line)

    return compiled_model(path, device=device, head=head, progress=tell)


def _is_complete(path: Path) -> bool:
    try:
        read_metadata(path)
    except ModelFileError:
        return False
    return True


def _label(source: Path) -> str:
    """Return the name of a model: the folder for shipped models, whose files all have the same name, else the stem."""
    return source.parent.name if source in shipped_models().values() else source.stem


def _code_digest() -> str:
    """Return a digest of the code that affects a compiled model: all folders below the engines."""
    package = Path(contract.__file__).parent.parent
    folders = ("core", "structure", "model_file", "kernels", "families", "compilation")
    files = [file for folder in folders for file in (package / folder).rglob("*") if file.suffix in (".py", ".h")]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()


def _family_digest(family: Family) -> str:
    """Return a digest of the package that defines a family; empty for the families of this package."""
    name = family.__name__ if isinstance(family, ModuleType) else type(family).__module__
    root = sys.modules[name.partition(".")[0]]
    if root.__name__ == "mlip_lammps":
        return ""
    folders = [Path(folder) for folder in getattr(root, "__path__", ())]
    files = [file for folder in folders for file in folder.rglob("*") if file.suffix in (".py", ".h")]
    if not folders and getattr(root, "__file__", None):
        files = [Path(root.__file__)]
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
