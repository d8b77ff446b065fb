"""Compilation of a model's programs with AOTInductor in separate processes, and their packaging."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mlip_lammps.compilation.libraries import ProgramFiles, require_own_libraries
from mlip_lammps.core.errors import MlipError
from mlip_lammps.core.processes import python_module
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.cpu.simd import COMPILER
from mlip_lammps.kernels.operators import OperatorCode
from mlip_lammps.model_file.archive import add_member

FILES = ".files.json"
"""Suffix of the file lists that the compiling process writes, one per program."""
JOB, CODE = "job.pickle", "code.pt"
"""Input and output files of the compiling process."""


def compile_programs(
    model: LayeredModel, dtype: str, radial: str, operators: str, output: Path, progress: Callable[[str], None]
) -> OperatorCode:
    """Write an archive with all programs of the model to ``output``, without metadata.

    Parameters
    ----------
    dtype, radial
        See ``export_model``.
    operators
        Backend whose operators the programs call: ``torch`` or ``cpu``.

    Returns
    -------
    OperatorCode
        Code that the operators added; the record also describes the programs.

    Raises
    ------
    MlipError
        If a program does not compile.
    """
    # The folder of temporary files: AOTInductor cannot compile in a folder whose path has a blank, as output's may.
    with TemporaryDirectory(prefix="mlip-lammps-") as scratch:
        folder = Path(scratch)
        job = {"dtype": dtype, "radial": radial, "operators": operators, "path": _path_of(model)}
        with open(folder / JOB, "wb") as file:  # two pickles: the model needs the path, and is large
            pickle.dump(job, file)
            pickle.dump(model, file)
        _run_worker(folder, progress)
        left = {file.name.removesuffix(FILES): file for file in sorted(folder.glob(f"*{FILES}"))}
        compiled = {name: ProgramFiles.read(file) for name, file in left.items()}
        from torch._inductor.package import package_aoti

        package_aoti(str(output), {name: list(one.files) for name, one in compiled.items()})
        require_own_libraries(compiled, output)
        members, record, tables, specs = torch.load(folder / CODE, weights_only=False)
        for name, file in members.items():
            add_member(output, name, Path(file).read_bytes())
    programs = [{"name": p.name, "inputs": list(p.inputs), "outputs": list(p.outputs)} for p in specs]
    described = {"programs": programs, "chunk_atoms": model.chunk_atoms()}
    return OperatorCode(record={**described, **record}, tables=tables)


def _path_of(model: LayeredModel) -> list[str]:
    """Return the import path that the compiling process needs for model families outside this package."""
    root = type(model).__module__.partition(".")[0]
    return [] if root == "mlip_lammps" else [os.path.abspath(entry or os.curdir) for entry in sys.path]


def _run_worker(folder: Path, progress: Callable[[str], None]) -> None:
    """Run the compiling process and forward its progress lines."""
    command = [*python_module("mlip_lammps.compilation.worker"), str(folder)]
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
            raise MlipError(
                errors.read()[-2000:]
                or f"the compiling process ended with exit code {worker.returncode} and no message, expected 0; "
                "check the free memory and export again"
            )
