"""SIMD width and register count of the build host, and the compiler."""

import subprocess
from functools import cache
from typing import NamedTuple

import torch

COMPILER = "g++"
"""Of everything that an export compiles. Not what CXX says: one that links libstdc++ into each program makes programs
that crash."""

# Not -ffast-math: it removes the checks for numbers that are not finite.
COMPILE = (
    *(COMPILER, "-O3", "-march=native", "-std=c++17", "-fPIC", "-shared", "-fopenmp", "-fno-math-errno"),
    "-fno-signed-zeros",
    "-Wno-attributes",
)


class Vectors(NamedTuple):
    """The widest vectors that kernels compiled here use.

    A vector of the compiler that is wider than the processor's lives in memory and not in registers: on AVX2, kernels
    with vectors of 64 bytes take 4 times as long as with 32.
    """

    instruction_set: str
    n_bytes: int
    n_registers: int


# By what the compiler says it may use, the widest first.
_VECTORS = {
    "__AVX512F__": Vectors("avx512", 64, 32),
    "__AVX2__": Vectors("avx2", 32, 16),
    "__AVX__": Vectors("avx", 32, 16),
    "__SSE4_2__": Vectors("sse4.2", 16, 16),
    "__ARM_FEATURE_SVE": Vectors("sve", 16, 32),
    "__ARM_NEON": Vectors("neon", 16, 32),
}


@cache
def widest_vectors() -> Vectors:
    """Return what the compiler uses on this machine."""
    command = [*COMPILE, "-E", "-dM", "-x", "c++", "/dev/null"]
    defined = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return next((found for macro, found in _VECTORS.items() if macro in defined), Vectors("scalar", 16, 16))


def n_registers() -> int:
    """Return how many vectors the processor holds at a time."""
    return widest_vectors().n_registers


def lanes(n_channels: int, dtype: torch.dtype) -> int:
    """Return the channels of one vector: the largest power of two that fits it and divides ``n_channels``."""
    return min(most_lanes(dtype), n_channels & -n_channels)


def most_lanes(dtype: torch.dtype) -> int:
    """Return the numbers of the widest vector."""
    return 8 * widest_vectors().n_bytes // torch.finfo(dtype).bits


def whole_vectors(width: int, dtype: torch.dtype) -> int:
    """Return the next multiple of the numbers of the widest vector."""
    return -(-width // most_lanes(dtype)) * most_lanes(dtype)


def compiler_version() -> str:
    """Return the first line of what the C++ compiler says of itself."""
    shown = subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()[0]
