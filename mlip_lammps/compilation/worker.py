"""Compilation of a model's programs in a separate process: ``python -m mlip_lammps.compilation.worker FOLDER``.

``multiprocessing`` in the caller would run the user's script again, under MPI on every rank. The process imports
torch's compiler once, while the kernels compile, and forks a process for each program. It prints a line at each step.
In the job folder it writes the names of the compiled files to ``PROGRAM.files.json`` and the code of the operators to
``code.pt``.
"""

import gc
import importlib
import multiprocessing
import os
import pickle
import platform
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path

import torch

from mlip_lammps.compilation.elf import drop_needed, forbid_executable_stack
from mlip_lammps.compilation.libraries import ProgramFiles, code_of
from mlip_lammps.compilation.programs import CODE, FILES, JOB
from mlip_lammps.compilation.tracing import trace
from mlip_lammps.core.errors import MlipError
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.operators import LayerOperators, NoOperators
from mlip_lammps.model_file.contract import ProgramSpec

_fork = multiprocessing.get_context("fork")


def compile_model(folder: Path) -> None:
    """Compile the operators and all programs of the job, with one process more than there are cores."""
    torch.set_num_threads(1)
    with open(folder / JOB, "rb") as file:
        job = pickle.load(file)
        sys.path.extend(entry for entry in job["path"] if entry not in sys.path)
        model: LayeredModel = pickle.load(file)
    operators = model.operators(job["operators"], job["dtype"], job["radial"], folder)
    compiling = _fork.Process(target=operators.compile)
    compiling.start()
    # The import takes seconds; the forked processes inherit it.
    importlib.import_module("torch._inductor.compile_fx")
    compiling.join()
    code = operators.code()  # the child process has compiled the library into the folder
    members = {name: str(path) for name, path in code.members.items()}
    programs = model.programs_with(operators)
    torch.save((members, dict(code.record), code.tables, programs), folder / CODE)
    if code.shims:
        print(f"compiled the kernels ({len(code.shims)} functions)", flush=True)
    names = [spec.name for spec in programs]
    compile_program = partial(_compile_program, model, job["dtype"], operators, dict(code.shims), folder)
    calls = [partial(compile_program, spec) for spec in programs]
    _run_forked(names, calls, 1 + len(os.sched_getaffinity(0)))


def _run_forked(names: Sequence[str], calls: Sequence[Callable[[], None]], n_workers: int) -> None:
    """Run each call in a forked process; stop all processes at the first failure."""
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
                raise MlipError(
                    f"program {name} did not compile (exit code {process.exitcode}, expected 0); see the messages above"
                )
            n_done += 1
            print(f"compiled {name} ({n_done} of {len(names)})", flush=True)


def _compile_program(
    model: LayeredModel,
    dtype: str,
    operators: LayerOperators | NoOperators,
    shims: dict[torch._ops.OpOverload, list[str]],
    folder: Path,
    spec: ProgramSpec,
) -> None:
    """Trace and compile one program; write the list of its files for the archive."""
    gc.disable()  # the process ends soon, and collections take a tenth of its time
    options = {
        "aot_inductor.package": True,
        # AOTInductor names files by their code: layers of one shape would share them in one folder.
        "aot_inductor.output_path": str(folder / spec.name),
        # Weights outside the library: it is small, and a process has them in memory once.
        "aot_inductor.package_constants_on_disk_format": "binary_blob",
        # The wrapper calls the kernels once per several hundred atoms: its own speed does not matter.
        "aot_inductor.compile_wrapper_opt_level": "O0",
        # One build for any number of threads: the loops query it at run time.
        "cpp.dynamic_threads": True,
        "cpp.threads": max(2, len(os.sched_getaffinity(0))),
        "compile_threads": 1,
        "aot_inductor.custom_ops_to_c_shims": shims,
    }
    if hasattr(torch._inductor.config.aot_inductor, "enable_line_tables"):  # newer versions of torch
        options["aot_inductor.enable_line_tables"] = False
    if platform.machine() == "x86_64":
        # Supported g++ versions know the processor's instruction sets: skip torch's trial compilation of each.
        options["cpp.vec_isa_ok"] = True
    # late imports: see ``compile_model``
    from torch._inductor.virtualized import V

    from mlip_lammps.compilation.fusion import AcyclicFusion

    exported, example = trace(model, model.chain(dtype, operators), spec)
    with V.set_choices_handler(AcyclicFusion()):
        files = torch._inductor.aot_compile(exported.module(), example, options=options)
    # AOTInductor links every program to libtorch.so; a CUDA build of it would load gigabytes into a CPU run.
    for file in files:
        if str(file).endswith(".so"):
            drop_needed(Path(file), "libtorch.so")
            forbid_executable_stack(Path(file))
    kept = tuple(str(file) for file in files if not str(file).endswith(".cpp"))
    ProgramFiles(code_of(exported), kept).write(folder / f"{spec.name}{FILES}")


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # torch's own warnings; real problems raise errors
    try:
        compile_model(Path(sys.argv[1]))
    except MlipError as error:
        sys.exit(f"{error}")
