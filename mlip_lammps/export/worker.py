"""Compiles the programs of a model apart from the caller: ``python -m mlip_lammps.export.worker JOB.json``.

A process of its own rather than one of ``multiprocessing``, which would run the user's script again, under MPI on every
rank. It imports torch's compiler once, beside the compilation of the kernels, and forks a process for each program.
Prints a line at each step; leaves the names of the compiled files in ``PROGRAM.files.json`` and the
radial tables in ``tables.pt`` in the folder of the job.
"""

import importlib
import json
import multiprocessing
import os
import platform
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import torch

from mlip_lammps.checkpoint import read_model
from mlip_lammps.core.errors import MlipError
from mlip_lammps.export.compilation import FILES
from mlip_lammps.export.elf import drop_needed
from mlip_lammps.export.fast_layers import CpuKernels
from mlip_lammps.export.layers import PRECISIONS, LayerChain
from mlip_lammps.export.lowered import LoweredModel
from mlip_lammps.export.lowering import lower
from mlip_lammps.export.tracing import trace

_fork = multiprocessing.get_context("fork")


def compile_model(job: dict) -> None:
    """Compile the kernels and every program of the job, as many at a time as the job says."""
    folder = Path(job["folder"])
    torch.set_num_threads(1)
    lowered = lower(read_model(folder / "model.safetensors"), tuple(job["atomic_numbers"]))
    kernels = CpuKernels(lowered, PRECISIONS[job["dtype"]].features, folder) if job["has_kernels"] else None
    if kernels is not None:
        compiling = _fork.Process(target=lambda: kernels.library)
        compiling.start()
    # takes seconds; the forked processes have it from here
    importlib.import_module("torch._inductor.compile_fx")
    if kernels is not None:
        compiling.join()  # the library is in the folder now
        torch.save(kernels.table_contents(), folder / "tables.pt")
        (folder / "kernels.json").write_text(json.dumps([str(kernels.library.path), kernels.table_record()]))
        print(f"compiled the kernels ({len(kernels.library.operators)} operators)", flush=True)
    names = [spec.name for spec in lowered.programs]
    calls = [partial(_compile_program, lowered, number, job, kernels) for number in range(len(names))]
    _run_forked(names, calls, job["n_workers"])


def _run_forked(names: Sequence[str], calls: Sequence[Callable[[], None]], n_workers: int) -> None:
    """Run each call in a process of its own; stop all at the first that fails."""
    waiting = list(zip(names, calls, strict=True))
    running: dict[int, tuple[str, multiprocessing.Process]] = {}
    n_done = 0
    while waiting or running:
        while waiting and len(running) < n_workers:
            name, call = waiting.pop(0)
            process = _fork.Process(target=call)
            process.start()
            running[process.sentinel] = name, process
        for sentinel in wait(list(running)):
            name, process = running.pop(sentinel)
            process.join()
            if process.exitcode != 0:
                for _, other in running.values():
                    other.terminate()
                raise MlipError(f"program {name} did not compile")
            n_done += 1
            print(f"compiled {name} ({n_done} of {len(names)})", flush=True)


def _compile_program(lowered: LoweredModel, number: int, job: dict, kernels: CpuKernels | None) -> None:
    """Trace and compile one program; write down the files that belong into the archive."""
    spec = lowered.programs[number]
    options = {
        "aot_inductor.package": True,
        # What calls the kernels, once for some hundred atoms: its own speed is not seen.
        "aot_inductor.compile_wrapper_opt_level": "O0",
        # One build for any number of threads: the loops ask at run time.
        "cpp.dynamic_threads": True,
        "cpp.threads": max(2, len(os.sched_getaffinity(0))),
        "compile_threads": 1,
    }
    if platform.machine() == "x86_64":
        # Every g++ that is new enough knows what the processor has: no trial compilation of each instruction set.
        options["cpp.vec_isa_ok"] = True
    if kernels is not None:
        options["aot_inductor.custom_ops_to_c_shims"] = kernels.library.shims()
    chain = LayerChain(lowered, job["dtype"], kernels)
    exported, example = trace(chain, spec)
    files = torch._inductor.aot_compile(exported.module(), example, options=options)
    # AOTInductor names libtorch.so for every program; that of a CUDA build would load gigabytes into a CPU run.
    for file in files:
        if str(file).endswith(".so"):
            drop_needed(Path(file), "libtorch.so")
    kept = [str(file) for file in files if not str(file).endswith(".cpp")]
    Path(job["folder"], f"{spec.name}{FILES}").write_text(json.dumps(kept))


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # torch's own; what matters fails
    try:
        compile_model(json.loads(Path(sys.argv[1]).read_text()))
    except MlipError as error:
        sys.exit(f"{error}")
