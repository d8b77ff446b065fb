"""Compiles one program in a process of its own: ``python -m mlip_lammps.export.worker JOB.json``.

A process of its own rather than one of ``multiprocessing``, which would run the user's script again, under MPI on every
rank. Writes the names of the compiled files to the job's ``result``.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import torch

from mlip_lammps.checkpoint import read_model
from mlip_lammps.export.elf import drop_needed
from mlip_lammps.export.fast_layers import CpuKernels
from mlip_lammps.export.layers import PRECISIONS, LayerChain
from mlip_lammps.export.lowering import lower
from mlip_lammps.export.tracing import trace


def compile_program(job: dict) -> list[str]:
    """Trace and compile one program; return the files that belong into the archive."""
    torch.set_num_threads(1)
    trained = read_model(Path(job["model"]))
    lowered = lower(trained, tuple(job["atomic_numbers"]))
    spec = lowered.programs[job["program"]]
    options = {
        "aot_inductor.package": True,
        # One build for any number of threads: the loops ask at run time.
        "cpp.dynamic_threads": True,
        "cpp.threads": max(2, len(os.sched_getaffinity(0))),
        "compile_threads": 1,
    }
    kernels = None
    if job["device"] == "cuda":
        options["aot_inductor.embed_kernel_binary"] = True
    elif job["kernels"]:
        kernels = CpuKernels(lowered, PRECISIONS[job["dtype"]].features, Path(job["kernels"]))
        options["aot_inductor.custom_ops_to_c_shims"] = kernels.library.shims()
    chain = LayerChain(lowered, job["dtype"], job["device"], kernels)
    exported, example = trace(chain, spec, job["device"])
    files = torch._inductor.aot_compile(exported.module(), example, options=options)
    if job["device"] == "cpu":
        # AOTInductor names libtorch.so for every program; that of a CUDA build would load gigabytes into a CPU run.
        for file in files:
            if str(file).endswith(".so"):
                drop_needed(Path(file), "libtorch.so")
    return [str(file) for file in files if not str(file).endswith(".cpp")]


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # torch's own; what matters fails
    description = json.loads(Path(sys.argv[1]).read_text())
    Path(description["result"]).write_text(json.dumps(compile_program(description)))
