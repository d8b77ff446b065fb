"""Has the programs of a model compiled with AOTInductor in processes of their own, and packs them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from mlip_lammps.checkpoint import TrainedModel, write_portable
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.export.archive import add_member
from mlip_lammps.export.contract import KERNELS_PATH
from mlip_lammps.export.fast_layers import interpolated
from mlip_lammps.export.machine import compiler_version
from mlip_lammps.kernels.vectors import COMPILER, widest_vectors

FILES = ".files.json"
"""How the names of the lists end that the compiling process leaves, one for each program."""


@dataclass(frozen=True)
class CompiledPrograms:
    """What a compilation leaves besides the archive.

    Attributes
    ----------
    record
        What the metadata says of the compiled code besides its shapes.
    radial_functions
        For each layer, the weights of its convolution as the kernels interpolate them; None where the network runs.
    """

    record: dict[str, Any]
    radial_functions: list[Callable[[Tensor], Tensor]] | None = None


def compile_programs(
    trained: TrainedModel,
    atomic_numbers: tuple[int, ...],
    dtype: str,
    radial: str,
    output: Path,
    progress: Callable[[str], None],
) -> CompiledPrograms:
    """Write an archive with every program of the model to ``output``; no metadata yet.

    Raises
    ------
    UserInputError
        If there is no C++ compiler.
    MlipError
        If a program does not compile.
    """
    _require_tools()
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.stem}-") as scratch:
        folder = Path(scratch)
        write_portable(trained, folder / "model.safetensors")
        job = {
            "folder": scratch,
            "atomic_numbers": list(atomic_numbers),
            "dtype": dtype,
            "has_kernels": radial == "table",
            # one more than cores: not all programs take the same time
            "n_workers": 1 + len(os.sched_getaffinity(0)),
        }
        _run_worker(job, folder, progress)
        left = {file.name.removesuffix(FILES): file for file in sorted(folder.glob(f"*{FILES}"))}
        files = {name: json.loads(file.read_text()) for name, file in left.items()}
        from torch._inductor.package import package_aoti

        package_aoti(str(output), files)
        if not job["has_kernels"]:
            return CompiledPrograms({"radial": "exact"})
        library, tables = json.loads((folder / "kernels.json").read_text())
        add_member(output, KERNELS_PATH, Path(library).read_bytes())
        record = {"radial": "table", "radial_tables": tables, "instruction_set": widest_vectors().instruction_set}
        return CompiledPrograms(record, interpolated(torch.load(folder / "tables.pt")))


def _run_worker(job: dict, folder: Path, progress: Callable[[str], None]) -> None:
    """Run the compiling process; pass its lines on."""
    description = folder / "job.json"
    description.write_text(json.dumps(job))
    command = [sys.executable, "-m", "mlip_lammps.export.worker", str(description)]
    environment = os.environ | {"TORCHINDUCTOR_COMPILE_THREADS": "1", "OMP_NUM_THREADS": "1", "CXX": COMPILER}
    with (
        open(folder / "errors", "w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as worker,
    ):
        for line in worker.stdout:
            if line.startswith("compiled "):
                progress(line.strip())
        if worker.wait() != 0:
            errors.seek(0)
            raise MlipError(errors.read()[-2000:] or f"the compiling process ended with {worker.returncode}")


def _require_tools() -> None:
    try:
        compiler_version()
    except (OSError, subprocess.CalledProcessError):
        raise UserInputError("no C++ compiler; install it with: apt-get install g++") from None
