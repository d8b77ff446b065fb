"""Compiles a model for GPUs, on any machine: kernels for several architectures, their plan and weights, in one file."""

import json
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlip_lammps.export.gpu_model import plan_model
from mlip_lammps.export.gpu_plan import GpuPlan
from mlip_lammps.export.lowered import LoweredModel

ARCHITECTURES = (80, 90, 100, 120)
"""Compute capabilities times ten; code for one runs on later ones of the same generation: A100, RTX 30 and 40; H100 and
H200; B200; RTX 50."""

_ROOT = "model"
_FOLDER = "extra/gpu"
EMULATED_PATH = f"{_FOLDER}/emulated.so"


@dataclass(frozen=True)
class CompiledForGpu:
    """What a compilation leaves besides the archive.

    Attributes
    ----------
    record
        What the metadata says of the compiled code.
    radial_functions
        For each layer, the weights of its convolution as the kernels interpolate them.
    emulated
        Library that runs the same kernels on this CPU; None unless asked for.
    """

    record: dict[str, Any]
    radial_functions: list[Callable[[Tensor], Tensor]]
    emulated: Path | None


def compile_for_gpu(
    lowered: LoweredModel,
    features: torch.dtype,
    smallest: list[list[float]],
    architectures: tuple[int, ...],
    output: Path,
    scratch: Path,
    progress: Callable[[str], None],
    has_emulated: bool,
    has_fine_tables: bool = False,
) -> CompiledForGpu:
    """Write an archive with kernels, plan and weights to ``output``; no metadata yet.

    Parameters
    ----------
    smallest
        Distances of pairs of elements below which atoms are reported, angstrom.
    architectures
        Of GPUs, as in ``ARCHITECTURES``.
    scratch
        Folder for the emulated kernels.

    has_emulated
        Whether to compile the kernels for this CPU too.
    has_fine_tables
        As of ``GpuPlan``.

    Raises
    ------
    UserInputError
        If there is no NVRTC.
    MlipError
        If a kernel does not compile.
    """
    plan = plan_model(lowered, features, torch.tensor(smallest, dtype=torch.float64), has_fine_tables)
    source = plan.source
    with ThreadPoolExecutor(max_workers=max(2, len(os.sched_getaffinity(0)))) as pool:
        emulated = pool.submit(source.emulated, scratch) if has_emulated else None
        cubins = {architecture: pool.submit(source.cubin, architecture) for architecture in architectures}
        for count, (architecture, cubin) in enumerate(cubins.items(), start=1):
            cubin.result()
            progress(f"compiled for compute capability {architecture / 10:.1f} ({count} of {len(cubins)})")
        members = {f"kernels-sm_{architecture}.cubin": cubin.result()[0] for architecture, cubin in cubins.items()}
        library = emulated.result() if emulated else None
    _write(output, plan, members)
    record = {
        "radial": "table",
        "radial_tables": plan.table_record(),
        "compute_capabilities": [f"{architecture / 10:.1f}" for architecture in architectures],
    }
    return CompiledForGpu(record, plan.radial_functions(), library)


def _write(output: Path, plan: GpuPlan, members: dict[str, bytes]) -> None:
    members = {"plan.json": json.dumps(plan.as_dict()).encode(), "weights.bin": plan.weight_blob()} | members
    with zipfile.ZipFile(output, "w", compression=zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"{_ROOT}/{_FOLDER}/{name}", content)
