"""Reader of the zip formats of ``torch.save`` and ``torch.package``: pickles, and tensors decoded with numpy."""

import math
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import DAMAGED_ZIP, ModelFileError
from mlip_lammps.families.checkpoints.identify import torchscript_refusal
from mlip_lammps.families.checkpoints.pickle_reader import Opcodes, Record, Storage

_STORAGE_TYPES = {
    "torch.DoubleStorage": "f8",
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "u2",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.BoolStorage": "?",
}
_PARAMETERS = ("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state")
_MOST_PICKLE_BYTES = 1 << 24
_TENSOR = "torch._utils._rebuild_tensor_v2"
PACKAGE_MARK = ".data/extern_modules"
"""Entry of each archive of ``torch.package``."""
_SAVE_AGAIN = "load it with mace-torch and save it again with torch.save(model, path)"

NAMES = frozenset(
    {
        *_STORAGE_TYPES,
        *_PARAMETERS,
        _TENSOR,
        "torch.Size",
        "torch.device",
        "torch.bfloat16",
        "torch.float16",
        "torch.float32",
        "torch.float64",
        "collections.OrderedDict",
        "__builtin__.set",
        "builtins.set",
        "_codecs.encode",
        "numpy.core.multiarray.scalar",
        "numpy._core.multiarray.scalar",
        "numpy.dtype",
    }
)
"""Globals allowed in every ``torch.save`` file."""


def small_pickle(path: Path, start: bytes) -> bytes | None:
    """Return the pickle of a ``torch.save`` file that begins with ``start``; None if there is none or it is large."""
    if start[:2] != b"PK":
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
            is_small = len(names) == 1 and archive.getinfo(names[0]).file_size <= _MOST_PICKLE_BYTES
            return archive.read(names[0]) if is_small else None
    except (OSError, *DAMAGED_ZIP):
        return None


def script_buffers(archive: bytes, prefix: str, source: str) -> dict[str, NDArray[np.generic]]:
    """Return the buffers of a TorchScript archive whose names begin with ``prefix``; none of it runs.

    Modules of e3nn contain such an archive. Damaged ones and large ones have no buffers here.
    """
    try:
        with zipfile.ZipFile(BytesIO(archive)) as opened:
            folder = opened.namelist()[0].partition("/")[0]

            def content(name: str) -> bytes:
                entry = opened.getinfo(f"{folder}/{name}")
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > len(archive):
                    raise ValueError("not an entry of torch")
                return opened.read(entry)

            state = Opcodes(None, source).read(content("data.pkl")).state
            found = {}
            for name, record in state.items():
                if name.startswith(prefix):
                    storage, *place = record.args[:4]
                    flat = _numbers(content(f"data/{storage.key}"), storage.type_name, "<")
                    found[name] = _strided(flat, *place)
            return found
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ModelFileError, *DAMAGED_ZIP):
        return {}


def _numbers(content: bytes, type_name: str, byte_order: str) -> NDArray[np.generic]:
    """Return the numbers of a storage; those of half precision as float32, which holds them exactly."""
    numbers = np.frombuffer(content, byte_order + _STORAGE_TYPES[type_name])
    if type_name == "torch.BFloat16Storage":  # the first half of a float32
        return (numbers.astype("u4") << 16).view("f4")
    return numbers.astype("f4" if type_name == "torch.HalfStorage" else numbers.dtype.newbyteorder("="), copy=False)


def _strided(flat: NDArray[np.generic], offset: Any, size: Any, stride: Any) -> NDArray[np.generic]:
    """Return a copy of the numbers of a tensor in its storage.

    Raises
    ------
    ValueError
        If the tensor extends beyond its storage; the message follows the name of the tensor.
    """
    is_sound = (
        all(isinstance(values, tuple) and len(values) <= 16 for values in (size, stride))
        and len(size) == len(stride)
        and all(type(value) is int and 0 <= value < 2**48 for value in (offset, *size, *stride))
    )
    if not is_sound:
        raise ValueError("has an invalid shape or stride")
    n_numbers = math.prod(size)
    if n_numbers == 0:
        return np.zeros([min(n, 2**16) for n in size], dtype=flat.dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if last >= len(flat) or n_numbers > len(flat):
        raise ValueError(f"needs {max(last + 1, n_numbers)} values, but its storage has {len(flat)}")
    steps = [step * flat.itemsize for step in stride]
    view = np.lib.stride_tricks.as_strided(flat[offset:], shape=size, strides=steps, writeable=False)
    return np.array(view, order="C")


class TensorArchive:
    """An open zip file with the storages of tensors; see ``TorchArchive`` and ``PackageArchive``.

    Its entries must be uncompressed and not overlap, so that the reader never allocates more than the file size.

    Raises
    ------
    ModelFileError
        If the file is not such a zip.
    """

    storage_name = "data/{}"
    """Name of a storage's entry by its key."""

    def __init__(self, path: Path):
        self.name = path.name
        try:
            self._zip = zipfile.ZipFile(path)
            entries = self._zip.infolist()
        except (OSError, *DAMAGED_ZIP) as error:
            raise ModelFileError(f"{path} is a damaged zip file ({error}); copy the model again") from error
        self._entries = {entry.filename: entry for entry in entries}
        self._prefix = self._folder(path)
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ModelFileError(f"{path} has compressed entries, which torch.save does not write; {_SAVE_AGAIN}")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ModelFileError(f"{path} is a zip file with overlapping entries; copy the model again")
        order = self._entry("byteorder").decode("ascii", "replace") if self._has("byteorder") else "little"
        self._byte_order = ">" if order == "big" else "<"
        self._storages: dict[str, tuple[str, NDArray[np.generic]]] = {}

    def _folder(self, path: Path) -> str:
        """Return the folder of all entries, with a slash at its end."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def array(self, record: Any, label: str) -> NDArray[np.generic]:
        """Return a copy of a tensor or parameter of the file as an array.

        Parameters
        ----------
        record
            Record of the tensor in the pickle.
        label
            Name of the tensor for error messages.

        Raises
        ------
        ModelFileError
            If the record is not a tensor, or if the tensor extends beyond its storage.
        """
        if isinstance(record, Record) and record.name in _PARAMETERS and record.args:
            record = record.args[0]
        if not isinstance(record, Record) or record.name != _TENSOR or len(record.args) < 4:
            found = record.name if isinstance(record, Record) else type(record).__name__
            raise ModelFileError(f"{label} of {self.name} is a {found}, expected a tensor; {_SAVE_AGAIN}")
        storage, offset, size, stride = record.args[:4]
        if not isinstance(storage, Storage):
            raise ModelFileError(f"{label} of {self.name} has no numbers; copy the model again")
        flat = self._storage(storage, label)
        try:
            return _strided(flat, offset, size, stride)
        except ValueError as error:
            raise ModelFileError(
                f"{label} of {self.name} {error}: the file is damaged; copy the model again"
            ) from error

    def _storage(self, storage: Storage, label: str) -> NDArray[np.generic]:
        if storage.key not in self._storages:
            kind = np.dtype(_STORAGE_TYPES.get(storage.type_name, "f8"))
            content = self._entry(self.storage_name.format(storage.key))
            if storage.type_name not in _STORAGE_TYPES or len(content) < storage.n_numbers * kind.itemsize:
                raise ModelFileError(
                    f"the storage of {label} in {self.name} has {len(content)} bytes, expected {storage.n_numbers} "
                    f"values of {storage.type_name}; copy the model again"
                )
            content = content[: storage.n_numbers * kind.itemsize]
            self._storages[storage.key] = storage.type_name, _numbers(content, storage.type_name, self._byte_order)
        type_name, flat = self._storages[storage.key]
        if type_name != storage.type_name:
            raise ModelFileError(
                f"the storage of {label} in {self.name} is used as {type_name} and as {storage.type_name}, expected "
                "one type; copy the model again"
            )
        return flat

    def _has(self, name: str) -> bool:
        return self._prefix + name in self._entries

    def _entry(self, name: str) -> bytes:
        if not self._has(name):
            raise ModelFileError(f"{self.name} lacks the zip entry {name}; copy the model again")
        try:
            return self._zip.read(self._prefix + name)
        except (OSError, *DAMAGED_ZIP) as error:
            raise ModelFileError(
                f"the zip entry {name} of {self.name} is damaged ({error}); copy the model again"
            ) from error


class TorchArchive(TensorArchive):
    """An open ``torch.save`` file.

    Parameters
    ----------
    path
        File to open.
    allowed
        Full names of globals that its pickle may use in addition to `NAMES`.

    Raises
    ------
    ModelFileError
        If the file is not a zip written by ``torch.save``.
    """

    def __init__(self, path: Path, allowed: frozenset[str]):
        self._allowed = allowed | NAMES
        super().__init__(path)

    def _folder(self, path: Path) -> str:
        pickles = [name for name in self._entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ModelFileError(
                f"{path} is a zip file that torch.save did not write ({len(pickles)} entries data.pkl, expected 1); "
                "give the file that the training program saved"
            )
        self._prefix = pickles[0].removesuffix("data.pkl")
        if f"{self._prefix}constants.pkl" in self._entries or any("/code/" in name for name in self._entries):
            version = ""
            if self._has("extra/nequip_version"):
                version = self._entry("extra/nequip_version").decode("ascii", "replace")[:20]
            raise ModelFileError(torchscript_refusal(path, list(self._entries), version))
        return self._prefix

    def root(self) -> Any:
        """Return the saved object as inert records."""
        return Opcodes(self._allowed, self.name).read(self._entry("data.pkl"))

    def any_root(self) -> tuple[Any, frozenset[str]]:
        """Return the saved object as inert records, and the names that are not allowed in it."""
        opcodes = Opcodes(None, self.name)
        root = opcodes.read(self._entry("data.pkl"))
        return root, frozenset(opcodes.names - self._allowed)


class PackageArchive(TensorArchive):
    """An open archive of ``torch.package``: pickles, tensors, texts, and sources that are not read.

    Raises
    ------
    ModelFileError
        If the file is not a zip written by ``torch.package``.
    """

    storage_name = ".data/{}.storage"

    def _folder(self, path: Path) -> str:
        marks = [name for name in self._entries if name.count("/") == 2 and name.endswith(f"/{PACKAGE_MARK}")]
        if len(marks) != 1:
            raise ModelFileError(f"{path} is a zip file that torch.package did not write; copy the file again")
        return marks[0].removesuffix(PACKAGE_MARK)

    def pickled(self, name: str) -> Any:
        """Return the object in the pickle ``name`` as inert records; nothing in it is imported or called."""
        return Opcodes(None, self.name).read(self._entry(name))

    def text(self, name: str) -> str | None:
        """Return a text of the archive; None if there is none of this name."""
        return self._entry(name).decode("utf-8", "replace") if self._has(name) else None
