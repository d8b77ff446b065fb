"""The GPU backend: writes kernels for several architectures, their plan and the weights to one file, on any machine."""

import json
import os
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.core.limits import TABLE_FORCE
from mlip_lammps.core.machine import machine_record
from mlip_lammps.kernels.backend import CompiledCode, CompileRequest
from mlip_lammps.kernels.gpu.nvrtc import nvrtc_version
from mlip_lammps.kernels.precision import PRECISIONS

if TYPE_CHECKING:
    from mlip_lammps.kernels.gpu.plan import GpuPlan

ARCHITECTURES = (80, 90, 100, 120)
"""Compute capabilities times ten. Code for one of them also runs on later ones of the same major version: A100, RTX 30
and 40; H100 and H200; B200; RTX 50."""

_ROOT = "model"
_FOLDER = "extra/gpu"
EMULATED_PATH = f"{_FOLDER}/emulated.so"


@dataclass(frozen=True)
class GpuBackend:
    """Backend for GPUs, see ``Backend``.

    Attributes
    ----------
    architectures
        GPU architectures as in ``ARCHITECTURES``; empty for a file that runs only on the emulated GPU.
    has_fine_tables
        See ``GpuPlan``.
    """

    architectures: tuple[int, ...] = ARCHITECTURES
    has_fine_tables: bool = False

    runs_on = "cuda"
    duration = "for GPUs"

    @property
    def is_emulated(self) -> bool:
        return not self.architectures

    def check_options(self, radial: str) -> None:
        if radial == "exact":
            raise UserInputError("--radial exact runs on a CPU only; use --radial table for a GPU, or --device cpu")

    def fingerprint(self) -> dict[str, object]:
        # emulated kernels are compiled for this processor and do not link libtorch
        return {"machine": machine_record()} if self.is_emulated else {"nvrtc": nvrtc_version()}

    def compile(self, request: CompileRequest) -> CompiledCode:
        # imports e3nn, which takes seconds that loading a cached file must not cost
        from mlip_lammps.kernels.gpu.model import plan_model, with_padded_channels

        lowered = request.require_lowered("cuda")
        features = {
            "non-linear interactions": any(layer.gate is not None for layer in lowered.layers),
            "attention": lowered.has_attention,
            "gated convolutions": any(layer.is_gated_convolution for layer in lowered.layers),
            "a charge or spin embedding": lowered.global_embedding is not None,
            "latent charges": lowered.latent_ewald is not None,
            "edge irreps": any(one.has_edge_irreps and not one.is_gated_convolution for one in lowered.layers),
        }
        request.refuse("cuda", features)
        smallest = torch.tensor(request.smallest, dtype=torch.float64)
        plan = plan_model(lowered, PRECISIONS[request.dtype].features, smallest, self.has_fine_tables)
        source, architectures = plan.source, self.architectures
        # without a GPU on this machine, the emulated GPU is compared with the reference
        has_emulated = self.is_emulated or not torch.cuda.is_available()
        with ThreadPoolExecutor(max_workers=max(2, len(os.sched_getaffinity(0)))) as pool:
            emulated = pool.submit(source.emulated, request.scratch) if has_emulated else None
            cubins = {architecture: pool.submit(source.cubin, architecture) for architecture in architectures}
            for count, (architecture, cubin) in enumerate(cubins.items(), start=1):
                cubin.result()
                request.progress(
                    f"compiled for compute capability {architecture / 10:.1f} ({count} of {len(cubins)})"
                )
            members = {f"kernels-sm_{architecture}.cubin": cubin.result()[0] for architecture, cubin in cubins.items()}
            library = {EMULATED_PATH: emulated.result().read_bytes()} if emulated else {}
        if self.is_emulated:
            members["emulated.so"] = library.pop(EMULATED_PATH)
        padded = with_padded_channels(lowered)
        record = {
            "radial": "table",
            "radial_tables": plan.table_record(),
            "compute_capabilities": [f"{architecture / 10:.1f}" for architecture in architectures],
            "feature_widths": list(padded.feature_widths),
            "skip_widths": list(padded.skip_widths),
            "message_widths": list(padded.message_widths),
        }
        _write(request.output, plan, members)
        return CompiledCode(record, plan.radial_functions(), library)

    def largest_table_error(self, dtype: str) -> float:
        return TABLE_FORCE[dtype]

    def retry(self) -> "GpuBackend | None":
        return None if self.has_fine_tables else GpuBackend(self.architectures, has_fine_tables=True)


def backend(device: str) -> GpuBackend:
    """Return the backend of device ``cuda`` or ``emulated``."""
    return GpuBackend(() if device == "emulated" else ARCHITECTURES)


def _write(output: Path, plan: "GpuPlan", members: dict[str, bytes]) -> None:
    members = {"plan.json": json.dumps(plan.as_dict()).encode(), "weights.bin": plan.weight_blob()} | members
    with zipfile.ZipFile(output, "w", compression=zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(f"{_ROOT}/{_FOLDER}/{name}", content)
