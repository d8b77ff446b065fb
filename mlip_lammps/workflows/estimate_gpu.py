"""What a run on a GPU will need of its memory, from the arrays that a model file lists; no GPU is needed to say so."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from mlip_lammps.export.archive import read_metadata
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.workflows.estimate import SKIN, close_packing, ghosts, repeated, require_run

CARDS_GB = (16, 24, 40, 80)
"""Memory of common cards."""

# Of the engine: work space of cuBLAS, room for edges beyond those there are, and what an array may grow by.
_WORKSPACE_BYTES = 32 << 20
_EDGE_ROOM = 1.2
_MIN_EDGES = 1 << 16
_MOST_EXTRA_BYTES = 256 << 20
_CONTEXT_BYTES = 600 << 20
"""About what the driver and cuBLAS take of a card for a process."""


@dataclass(frozen=True)
class GpuEstimate:
    """Memory of a run on GPUs.

    Attributes
    ----------
    n_owned, n_ghost
        Atoms of one rank.
    neighbours
        Atoms within the cutoff of one.
    rank_bytes
        Of the card, for one rank.
    fitting
        About how many atoms one rank fits into a card of so many GB.
    """

    n_owned: int
    n_ghost: int
    neighbours: float
    rank_bytes: int
    fitting: dict[int, int]


def estimate_gpu_run(model: Path | str, n_atoms: int, n_ranks: int = 1, structure: Atoms | None = None) -> GpuEstimate:
    """Return what ``n_atoms`` on ``n_ranks`` need of the memory of a card, with a model file for GPUs.

    Parameters
    ----------
    structure
        As of ``estimate_run``.

    Raises
    ------
    UserInputError
        If a number is below 1 or the structure is not periodic.
    """
    require_run(n_atoms, n_ranks, structure)
    metadata = read_metadata(model)
    cutoff, elements = metadata["cutoff"], tuple(metadata["elements"])
    sample = repeated(structure if structure is not None else close_packing(elements))
    graph = build_graph(sample, cutoff)
    neighbours, density = graph.n_edges / graph.n_atoms, len(sample) / sample.get_volume()
    plan, weight_bytes = _read_plan(Path(model))

    def rank_bytes(n_owned: int) -> int:
        n_ghost = ghosts(n_owned, density, cutoff + SKIN)
        edges = _EDGE_ROOM * neighbours * n_owned + n_owned + _MIN_EDGES
        sizes = {
            "local": n_owned,
            "nodes": n_owned + (n_ghost if n_ranks > 1 else 0),
            "atoms": n_owned + n_ghost,
            "slots": neighbours * n_owned * ((cutoff + SKIN) / cutoff) ** 3,
            "edges": edges,
            "cells": (n_owned + n_ghost) / max(1.0, density * (cutoff + SKIN) ** 3),
            "elements": len(elements),
            "one": 1,
        }
        return _CONTEXT_BYTES + _WORKSPACE_BYTES + weight_bytes + round(_buffer_bytes(plan, sizes))

    n_owned = -(-n_atoms // n_ranks)
    fitting = {gigabytes: _most_atoms(rank_bytes, gigabytes * 10**9) for gigabytes in CARDS_GB}
    return GpuEstimate(n_owned, ghosts(n_owned, density, cutoff + SKIN), neighbours, rank_bytes(n_owned), fitting)


def _read_plan(model: Path) -> tuple[dict, int]:
    """Return the plan of a model file and the bytes of its weights."""
    with zipfile.ZipFile(model) as archive:
        members = {Path(info.filename).name: info for info in archive.infolist()}
        return json.loads(archive.read(members["plan.json"])), members["weights.bin"].file_size


def _buffer_bytes(plan: dict, sizes: dict[str, float]) -> float:
    total = 0.0
    for buffer in plan["buffers"].values():
        size, _, extra = buffer["rows"].partition("+")
        needed = (sizes[size] + int(extra or 0)) * buffer["width"] * buffer["bytes"]
        total += needed + min(needed / 4, _MOST_EXTRA_BYTES)
    return total


def _most_atoms(rank_bytes, available: int) -> int:
    """Return the most atoms that ``available`` bytes hold, to two digits."""
    low, high = 0, 1
    while rank_bytes(high) < available:
        low, high = high, 2 * high
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (middle, high) if rank_bytes(middle) < available else (low, middle)
    return int(float(f"{low:.1e}"))
