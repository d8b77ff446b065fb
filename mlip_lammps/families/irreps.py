"""Irreps in text form, without e3nn: ``16x0e+16x1o`` means 16 even scalars and 16 vectors."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError

_ENTRY = re.compile(r"(\d{1,6})x(\d{1,2})([eo])")


@dataclass(frozen=True)
class Entry:
    """``mul`` copies of the irrep with ``order`` l and ``parity`` 1 or -1."""

    mul: int
    order: int
    parity: int

    @property
    def dim(self) -> int:
        """Number of components of one copy."""
        return 2 * self.order + 1

    @property
    def kind(self) -> tuple[int, int]:
        return self.order, self.parity

    def __str__(self) -> str:
        return f"{self.mul}x{self.order}{'e' if self.parity == 1 else 'o'}"


def parse_irreps(text: str) -> tuple[Entry, ...]:
    """Return the entries of ``text``, for example ``8x0e+8x1o``."""
    entries = []
    for part in text.split("+"):
        match = _ENTRY.fullmatch(part.strip())
        if match is None:
            raise ModelFileError(
                f"{part!r} in {text[:80]!r} is not an irrep such as 16x0e: the model file is damaged; copy it again"
            )
        entries.append(Entry(int(match[1]), int(match[2]), 1 if match[3] == "e" else -1))
    return tuple(entries)


def format_irreps(entries: Iterable[Entry]) -> str:
    """Return ``entries`` in e3nn's notation."""
    return "+".join(str(entry) for entry in entries)


def simplify_irreps(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return ``entries`` with adjacent entries of one kind merged, for example 8x0e+8x0e+8x1o as 16x0e+8x1o."""
    merged: list[Entry] = []
    for entry in entries:
        if merged and merged[-1].kind == entry.kind:
            merged[-1] = replace(entry, mul=merged[-1].mul + entry.mul)
        else:
            merged.append(entry)
    return tuple(merged)


def linear_pairs(irreps_in: tuple[Entry, ...], irreps_out: tuple[Entry, ...]) -> list[tuple[int, int]]:
    """Return the (input entry, output entry) pairs of an ``o3.Linear`` in the order of its weights."""
    return [(i, k) for i, a in enumerate(irreps_in) for k, b in enumerate(irreps_out) if a.kind == b.kind]


def linear_size(irreps_in: tuple[Entry, ...], irreps_out: tuple[Entry, ...]) -> int:
    """Return the number of weights of an ``o3.Linear`` without bias."""
    return sum(irreps_in[i].mul * irreps_out[k].mul for i, k in linear_pairs(irreps_in, irreps_out))


def linear_fan_in(irreps_in: tuple[Entry, ...], irreps_out: tuple[Entry, ...], k: int) -> int:
    """Return the number of inputs of output entry ``k`` of an ``o3.Linear``."""
    return sum(entry.mul for entry in irreps_in if entry.kind == irreps_out[k].kind)


def linear_matrices(
    weight: NDArray[np.float64], irreps_in: tuple[Entry, ...], irreps_out: tuple[Entry, ...]
) -> dict[tuple[int, int], NDArray[np.float64]]:
    """Return the normalised matrix of each (input entry, output entry) pair of an ``o3.Linear`` with ``weight``."""
    matrices, offset = {}, 0
    for i, k in linear_pairs(irreps_in, irreps_out):
        shape = irreps_in[i].mul, irreps_out[k].mul
        block = weight[offset : offset + shape[0] * shape[1]].reshape(shape)
        matrices[i, k] = block / linear_fan_in(irreps_in, irreps_out, k) ** 0.5
        offset += shape[0] * shape[1]
    return matrices
