"""Compiles the programs of a model with AOTInductor, each in a process of its own, and packs them."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from mlip_lammps.checkpoint import TrainedModel, write_portable
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.export.archive import add_member
from mlip_lammps.export.contract import KERNELS_PATH
from mlip_lammps.export.fast_layers import CpuKernels
from mlip_lammps.export.layers import PRECISIONS
from mlip_lammps.export.lowering import lower

_INSTRUCTION_PREFIXES = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "asimd", "sve")


def compile_programs(
    trained: TrainedModel,
    atomic_numbers: tuple[int, ...],
    dtype: str,
    device: str,
    radial: str,
    output: Path,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Write an archive with every program of the model to ``output``; no metadata yet.

    Returns
    -------
    dict
        What the metadata says of the compiled code besides its shapes: the radial tables.

    Raises
    ------
    UserInputError
        If there is no C++ compiler or no GPU where one is asked for.
    MlipError
        If a program does not compile.
    """
    _require_tools(device)
    with TemporaryDirectory(dir=output.parent, prefix=f".{output.stem}-") as scratch:
        folder = Path(scratch)
        lowered = lower(trained, atomic_numbers)
        kernels = None
        if device == "cpu" and radial == "table":
            kernels = CpuKernels(lowered, PRECISIONS[dtype].features, folder)
            progress(f"compiled the kernels ({len(kernels.library.operators)} operators)")
        write_portable(trained, folder / "model.safetensors")
        jobs = [
            {
                "model": str(folder / "model.safetensors"),
                "program": number,
                "atomic_numbers": list(atomic_numbers),
                "dtype": dtype,
                "device": device,
                "kernels": scratch if kernels else None,
                "result": str(folder / f"{spec.name}.files.json"),
            }
            for number, spec in enumerate(lowered.programs)
        ]
        files = _run_jobs(jobs, [spec.name for spec in lowered.programs], folder, progress)
        from torch._inductor.package import package_aoti

        package_aoti(str(output), files)
        if kernels is None:
            return {"radial": "exact"}
        add_member(output, KERNELS_PATH, kernels.library.path.read_bytes())
        return {"radial": "table", "radial_tables": kernels.table_record()}


def _run_jobs(
    jobs: list[dict], names: list[str], folder: Path, progress: Callable[[str], None]
) -> dict[str, list[str]]:
    """Run a worker for each job, as many at a time as there are cores; return the files of each program."""
    n_workers = 1 if jobs[0]["device"] == "cuda" else min(len(jobs), len(os.sched_getaffinity(0)))
    files: dict[str, list[str]] = {}
    with ThreadPoolExecutor(n_workers) as pool:
        started = {pool.submit(_run_worker, job, folder): name for job, name in zip(jobs, names, strict=True)}
        for done in as_completed(started):
            name = started[done]
            try:
                files[name] = done.result()
            except MlipError as error:
                pool.shutdown(wait=False, cancel_futures=True)
                raise MlipError(f"program {name} did not compile: {error}") from None
            progress(f"compiled {name} ({len(files)} of {len(jobs)})")
    return files


def _run_worker(job: dict, folder: Path) -> list[str]:
    description = folder / f"job-{job['program']}.json"
    description.write_text(json.dumps(job))
    command = [sys.executable, "-m", "mlip_lammps.export.worker", str(description)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MlipError(done.stderr[-2000:] or f"the compiling process ended with {done.returncode}")
    return json.loads(Path(job["result"]).read_text())


def machine_record() -> dict[str, object]:
    """Return the architecture and the instruction sets that code compiled here may use."""
    flags: list[str] = []
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("flags", "Features")):
            flags = line.partition(":")[2].split()
            break
    return {
        "architecture": platform.machine(),
        "cpu_flags": sorted(flag for flag in flags if flag.startswith(_INSTRUCTION_PREFIXES)),
    }


def compiler_version() -> str:
    """Return the first line of what the C++ compiler says of itself."""
    shown = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()[0]


def _require_tools(device: str) -> None:
    try:
        compiler_version()
    except (OSError, subprocess.CalledProcessError):
        raise UserInputError("no C++ compiler; install it with: apt-get install g++") from None
    if device == "cuda" and not torch.cuda.is_available():
        raise UserInputError("--device cuda, and this torch sees no GPU; export on the machine that will run the model")
