"""Estimate of a run on GPUs: memory from the arrays of a model file, and time if this machine has a GPU."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ase import Atoms

from mlip_lammps.core.errors import DAMAGED_ZIP, ModelFileError
from mlip_lammps.engines.lammps.process import LammpsProcess, input_word
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.model_file.compiled_model import CompiledModel, Gpu
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.structure.lammps_data import write_lammps_data
from mlip_lammps.workflows.estimate import SKIN, close_packing, ghosts, repeated, require_run

CARDS_GB = (16, 24, 40, 80)
"""Memory of common GPUs in GB."""

_TIMED_ATOMS = 20_000
"""Enough atoms to use a GPU fully: the time is proportional to the atoms from there on."""

_TIMED_STEPS = 20
_PLAN, _WEIGHTS = "plan.json", "weights.bin"
# The atoms do not move, so that only steps between two neighbour lists are timed.
_DECK = """units metal
read_data ${{data}}
pair_style mlip/torch
pair_coeff * * ${{model}} {elements}
neighbor {skin} bin
fix still all nve/noforce
run 5
run {n_steps}
"""

# Constants of the engine: workspace of cuBLAS, spare room for edges, and largest extra growth of an array.
_WORKSPACE_BYTES = 32 << 20
_EDGE_ROOM = 1.2
_MIN_EDGES = 1 << 16
_MOST_EXTRA_BYTES = 256 << 20
_CONTEXT_BYTES = 600 << 20
"""Approximate GPU memory of the driver and cuBLAS for one process."""


@dataclass(frozen=True)
class GpuEstimate:
    """Memory of a run on GPUs.

    Attributes
    ----------
    n_owned, n_ghost
        Owned and ghost atoms of one rank.
    neighbours
        Mean number of neighbours within the cutoff.
    rank_bytes
        GPU memory for one rank.
    engine_bytes
        Part of it for arrays and weights of the model.
    fitting
        Approximate number of atoms that fit on one rank, by GPU memory in GB: for the GPU of this machine, else for
        common ones.
    gpu
        GPU of this machine; None if no GPU runs the model.
    n_timed
        Number of atoms in the timed steps, on one rank; 0 without a GPU.
    seconds_per_step
        Time of a step with one GPU per rank and ideal scaling; None without a GPU.
    """

    n_owned: int
    n_ghost: int
    neighbours: float
    rank_bytes: int
    engine_bytes: int
    fitting: dict[int, int]
    gpu: Gpu | None = None
    n_timed: int = 0
    seconds_per_step: float | None = None


def estimate_gpu_run(model: Path | str, n_atoms: int, n_ranks: int = 1, structure: Atoms | None = None) -> GpuEstimate:
    """Return the memory and time of ``n_atoms`` on ``n_ranks`` with a model file for GPUs.

    Parameters
    ----------
    structure
        See ``estimate_run``.

    Raises
    ------
    UserInputError
        If a number is below 1 or the structure is not periodic.
    ModelFileError
        If the file lacks its plan of arrays.
    MlipError
        If LAMMPS fails on the GPU of this machine.
    """
    require_run(n_atoms, n_ranks, structure)
    metadata = read_metadata(model)
    cutoff, elements = metadata["cutoff"], tuple(metadata["elements"])
    given = structure if structure is not None else close_packing(elements)
    sample = repeated(given)
    graph = build_graph(sample, cutoff)
    neighbours, density = graph.n_edges / graph.n_atoms, len(sample) / sample.get_volume()
    plan, weight_bytes = _read_plan(Path(model))

    def engine_bytes(n_owned: int) -> int:
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
        return weight_bytes + round(_buffer_bytes(plan, sizes))

    def rank_bytes(n_owned: int) -> int:
        return _CONTEXT_BYTES + _WORKSPACE_BYTES + engine_bytes(n_owned)

    gpu = find_gpu(Path(model))
    cards = {gigabytes: gigabytes * 10**9 for gigabytes in CARDS_GB}
    if gpu is not None:
        cards = {round(gpu.total_bytes / 1e9): gpu.total_bytes}
    fitting = {gigabytes: _most_atoms(rank_bytes, available) for gigabytes, available in cards.items()}
    n_owned = -(-n_atoms // n_ranks)
    n_timed, seconds = 0, None
    if gpu is not None:
        n_fitting = _most_atoms(rank_bytes, gpu.free_bytes // 2)
        timed = _about(given, min(n_owned, n_fitting, _TIMED_ATOMS))
        n_timed, seconds = len(timed), time_step(Path(model), timed, elements) * n_owned / len(timed)
    return GpuEstimate(
        n_owned,
        ghosts(n_owned, density, cutoff + SKIN),
        neighbours,
        rank_bytes(n_owned),
        engine_bytes(n_owned),
        fitting,
        gpu,
        n_timed,
        seconds,
    )


def find_gpu(model: Path) -> Gpu | None:
    """Return the GPU of this machine that runs a model; None if there is none, or an emulated one."""
    try:
        gpu = CompiledModel(model).gpu
    except ModelFileError:
        return None
    return None if gpu is None or gpu.is_emulated else gpu


def time_step(model: Path, atoms: Atoms, elements: tuple[str, ...], n_steps: int = _TIMED_STEPS) -> float:
    """Return the seconds per LAMMPS step on one rank, between two neighbour lists.

    Raises
    ------
    MlipError
        If LAMMPS fails.
    """
    with TemporaryDirectory() as scratch:
        data, deck = Path(scratch, "atoms.data"), Path(scratch, "in.time")
        write_lammps_data(data, atoms, elements)
        deck.write_text(_DECK.format(elements=" ".join(elements), skin=SKIN, n_steps=n_steps))
        variables = {"data": input_word(data), "model": input_word(model.resolve())}
        with LammpsProcess(deck, 1, variables, Path(scratch, "log.lammps")) as process:
            for _ in process.rows():
                pass
        return process.loop_times[-1].seconds / n_steps


def _about(atoms: Atoms, n_atoms: int) -> Atoms:
    """Return a cell repeated to about ``n_atoms`` atoms."""
    return atoms.repeat(max(1, round((n_atoms / len(atoms)) ** (1 / 3))))


def _read_plan(model: Path) -> tuple[dict, int]:
    """Return the plan of a model file and the size of its weights in bytes."""
    cure = "export the model again with: mlip-lammps export MODEL -o FILE --device cuda"
    with zipfile.ZipFile(model) as archive:
        members = {Path(info.filename).name: info for info in archive.infolist()}
        if missing := [name for name in (_PLAN, _WEIGHTS) if name not in members]:
            raise ModelFileError(f"{model} is for a GPU but has no {missing[0]}; {cure}")
        try:
            plan = json.loads(archive.read(members[_PLAN]))
        except DAMAGED_ZIP as error:
            raise ModelFileError(f"{_PLAN} in {model} is damaged ({error}); {cure}") from None
        return plan, members[_WEIGHTS].file_size


def _buffer_bytes(plan: dict, sizes: dict[str, float]) -> float:
    total = 0.0
    for buffer in plan["buffers"].values():
        size, _, extra = buffer["rows"].partition("+")
        needed = (sizes[size] + int(extra or 0)) * buffer["width"] * buffer["bytes"]
        total += needed + min(needed / 4, _MOST_EXTRA_BYTES)
    return total


def _most_atoms(rank_bytes: Callable[[int], int], available: int) -> int:
    """Return the largest number of atoms that fit into ``available`` bytes, rounded to two digits."""
    low, high = 0, 1
    while rank_bytes(high) < available:
        low, high = high, 2 * high
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (middle, high) if rank_bytes(middle) < available else (low, middle)
    return int(float(f"{low:.1e}"))
