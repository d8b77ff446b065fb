"""NVIDIA's run-time compiler, which compiles CUDA C++ for any architecture without a GPU or the CUDA toolkit."""

import ctypes
import importlib.util
import site
import sysconfig
from functools import cache
from pathlib import Path

from mlip_lammps.core.errors import MlipError, UserInputError

_SONAMES = ("libnvrtc.so.13", "libnvrtc.so.12")
_INSTALL = "pip install nvidia-cuda-nvrtc"


def compile_cubin(source: str, headers: dict[str, str], architecture: int) -> tuple[bytes, str]:
    """Return the machine code of ``source`` and the compiler log.

    Parameters
    ----------
    headers
        Header texts by their include names.
    architecture
        Compute capability times ten: 90 for a Hopper GPU.

    Raises
    ------
    UserInputError
        If NVRTC is not installed.
    MlipError
        If the source does not compile.
    """
    library = _library()
    program = ctypes.c_void_p()
    names = (ctypes.c_char_p * len(headers))(*(name.encode() for name in headers))
    texts = (ctypes.c_char_p * len(headers))(*(text.encode() for text in headers.values()))
    _check(
        library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", len(headers), texts, names)
    )
    try:
        options = [
            b"--gpu-architecture=sm_%d" % architecture,
            b"--std=c++17",
            b"--ptxas-options=-v",
            b"-default-device",
        ]
        status = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        log = _text(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program).decode(errors="replace")
        if status != 0:
            raise MlipError(f"the GPU kernels did not compile for sm_{architecture}; report this error: {log[:2000]}")
        return _text(library.nvrtcGetCUBINSize, library.nvrtcGetCUBIN, program), log
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def nvrtc_version() -> str:
    """Return the version of NVRTC.

    Raises
    ------
    UserInputError
        If NVRTC is not installed.
    """
    major, minor = ctypes.c_int(), ctypes.c_int()
    _check(_library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return f"{major.value}.{minor.value}"


def _text(size_of, get, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _check(size_of(program, ctypes.byref(size)))
    buffer = ctypes.create_string_buffer(size.value)
    _check(get(program, buffer))
    return buffer.raw


def _check(status: int) -> None:
    if status != 0:
        name = _library().nvrtcGetErrorString
        name.restype = ctypes.c_char_p
        raise MlipError(
            f"NVRTC failed with status {status} ({name(status).decode()}), expected 0; reinstall it with: {_INSTALL}"
        )


@cache
def _library() -> ctypes.CDLL:
    for path in _candidates():
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    raise UserInputError(f"NVRTC, which compiles the GPU kernels, was not found; install it with: {_INSTALL}")


def _candidates() -> list[Path | str]:
    """Return the locations of pip packages, then the library names for the system's search path."""
    roots = {Path(folder) for folder in (*site.getsitepackages(), sysconfig.get_path("purelib"))}
    if (torch := importlib.util.find_spec("torch")) and torch.origin:
        roots.add(Path(torch.origin).parent.parent)
    if (nvidia := importlib.util.find_spec("nvidia")) and nvidia.submodule_search_locations:
        roots |= {Path(folder).parent for folder in nvidia.submodule_search_locations}
    found = [path for name in _SONAMES for root in sorted(roots) for path in root.glob(f"nvidia/*/lib/{name}")]
    return [*found, *_SONAMES]
