"""Compiles the programs of a model with AOTInductor, each in a process of its own, and packs them."""

import multiprocessing
import os
import platform
import subprocess
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import torch

from mlip_lammps.checkpoint import TrainedModel
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.export.archive import add_member
from mlip_lammps.export.contract import KERNELS_PATH, program_specs
from mlip_lammps.export.fast_layers import CpuKernels
from mlip_lammps.export.layers import PRECISIONS, LayerChain
from mlip_lammps.export.lowering import lower
from mlip_lammps.export.tracing import trace

_INSTRUCTION_PREFIXES = ("sse", "ssse", "avx", "fma", "f16c", "bmi", "amx", "asimd", "sve")


def compile_programs(
    trained: TrainedModel,
    atomic_numbers: tuple[int, ...],
    dtype: str,
    device: str,
    output: Path,
    progress: Callable[[str], None],
) -> None:
    """Write an archive with every program of the model to ``output``; no metadata yet.

    Raises
    ------
    UserInputError
        If there is no C++ compiler or no GPU where one is asked for.
    MlipError
        If a program does not compile.
    """
    _require_tools(device)
    specs = program_specs(trained.spec.n_layers)
    kernels = _cpu_kernels(trained, atomic_numbers, dtype, output.parent) if device == "cpu" else None
    if kernels is not None:
        progress(f"compiled the kernels ({len(kernels.library.operators)} operators)")
    jobs = 1 if device == "cuda" else min(len(specs), len(os.sched_getaffinity(0)))
    files: dict[str, list[str]] = {}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn) as pool:
        started = {
            pool.submit(_compile_program, trained, atomic_numbers, dtype, device, number, output.parent): spec.name
            for number, spec in enumerate(specs)
        }
        for done in as_completed(started):
            name = started[done]
            try:
                files[name] = done.result()
            except Exception as error:
                pool.shutdown(cancel_futures=True)
                raise MlipError(f"program {name} did not compile: {error}") from error
            progress(f"compiled {name} ({len(files)} of {len(specs)})")
    from torch._inductor.package import package_aoti

    package_aoti(str(output), files)
    if kernels is not None:
        add_member(output, KERNELS_PATH, kernels.library.path.read_bytes())


def _cpu_kernels(trained: TrainedModel, atomic_numbers: tuple[int, ...], dtype: str, folder: Path) -> CpuKernels:
    return CpuKernels(lower(trained, atomic_numbers), PRECISIONS[dtype].features, folder)


def _compile_program(
    trained: TrainedModel, atomic_numbers: tuple[int, ...], dtype: str, device: str, number: int, folder: Path
) -> list[str]:
    """Trace and compile one program; return the files that belong into the archive.

    ``folder`` holds the compiled kernels.
    """
    torch.set_num_threads(1)
    spec = program_specs(trained.spec.n_layers)[number]
    kernels = _cpu_kernels(trained, atomic_numbers, dtype, folder) if device == "cpu" else None
    chain = LayerChain(lower(trained, atomic_numbers), dtype, device, kernels)
    options = {
        "aot_inductor.package": True,
        # One build for any number of threads: the loops ask at run time.
        "cpp.dynamic_threads": True,
        "cpp.threads": max(2, len(os.sched_getaffinity(0))),
        "compile_threads": 1,
    }
    if kernels is not None:
        options["aot_inductor.custom_ops_to_c_shims"] = kernels.library.shims()
    if device == "cuda":
        options["aot_inductor.embed_kernel_binary"] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        exported, example = trace(chain, spec, device)
        files = torch._inductor.aot_compile(exported.module(), example, options=options)
    return [str(file) for file in files if not str(file).endswith(".cpp")]


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
