"""Source file of a model's GPU kernels, compiled for GPUs with NVRTC or, for emulation, for this CPU."""

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlip_lammps.core.errors import MlipError
from mlip_lammps.kernels.cpu.simd import COMPILER
from mlip_lammps.kernels.gpu.nvrtc import compile_cubin

HEADERS = (
    "lanes.h",
    "geometry.h",
    "convolution.h",
    "moments.h",
    "density.h",
    "contraction.h",
    "lists.h",
    "sums.h",
    "repulsion.h",
)
WARPS_OF_A_BLOCK = 4
_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Kernel:
    """A kernel; each warp of the grid runs ``body``.

    Attributes
    ----------
    parameters
        (C type, name) pairs in order.
    body
        C++ statements that use the parameters, the warp's position ``at`` and, if there is one, ``stage``.
    stage
        Shape of the ``Stage`` of each warp; None for no stage.
    """

    name: str
    parameters: tuple[tuple[str, str], ...]
    body: str
    stage: str | None = None

    def gpu_source(self, has_all_registers: bool = False) -> str:
        """Return the CUDA source; the compiler limits registers for occupancy unless ``has_all_registers``."""
        parameters = ", ".join(f"{c_type} {name}" for c_type, name in self.parameters)
        bounds = f"{32 * WARPS_OF_A_BLOCK}" + (", 1" if has_all_registers else "")
        stage = ""
        if self.stage is not None:
            stage = (
                f"  __shared__ Stage<{self.stage}> stages[{WARPS_OF_A_BLOCK}];\n"
                f"  Stage<{self.stage}> &stage = stages[threadIdx.x / WARP];\n"
            )
        return (
            f'extern "C" __global__ void __launch_bounds__({bounds}) {self.name}({parameters})\n{{\n'
            "  const Place at{static_cast<int>(blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP), "
            "static_cast<int>(blockIdx.y)};\n"
            f"{stage}  {self.body}\n}}\n"
        )

    def emulated_source(self) -> str:
        """Return a C function that runs the warps of a grid one after another, for the emulated device."""
        values = "".join(
            f"  {c_type} {name} = *static_cast<{c_type} *>(arguments[{k}]);\n"
            for k, (c_type, name) in enumerate(self.parameters)
        )
        stage = f"      Stage<{self.stage}> stage;\n" if self.stage is not None else ""
        return (
            f'extern "C" void {self.name}(int grid_x, int grid_y, void **arguments)\n{{\n{values}'
            "  for (int y = 0; y < grid_y; y++)\n"
            f"    for (int warp = 0; warp < grid_x * {WARPS_OF_A_BLOCK}; warp++) {{\n"
            f"      const Place at{{warp, y}};\n{stage}      {self.body}\n    }}\n}}\n"
        )


@dataclass(frozen=True)
class KernelSource:
    """Structs of the layers, and the kernels that use them."""

    structs: tuple[str, ...]
    kernels: tuple[Kernel, ...]

    def _text(self, functions: Sequence[str]) -> str:
        includes = "".join(f'#include "{name}"\n' for name in HEADERS)
        return "".join([includes, "using namespace mlip_gpu;\n", *self.structs, *functions])

    def cubin(self, architecture: int) -> tuple[bytes, str]:
        """Return machine code for a GPU architecture (90 for compute capability 9.0), and the compiler log.

        Kernels that spill registers to memory are compiled again with the maximum number of registers per thread.

        Raises
        ------
        UserInputError
            If NVRTC is not installed.
        MlipError
            If the source does not compile.
        """
        headers = {name: (_FOLDER / name).read_text() for name in HEADERS}
        cubin, report = compile_cubin(self._text([k.gpu_source() for k in self.kernels]), headers, architecture)
        spilling = spilling_kernels(report)
        if not spilling:
            return cubin, report
        functions = [kernel.gpu_source(has_all_registers=kernel.name in spilling) for kernel in self.kernels]
        return compile_cubin(self._text(functions), headers, architecture)

    def emulated(self, folder: Path) -> Path:
        """Return a library for this CPU with the same kernels, cached in ``folder``.

        Raises
        ------
        MlipError
            If the source does not compile.
        """
        text = self._text([kernel.emulated_source() for kernel in self.kernels])
        command = [
            COMPILER,
            "-O0",
            "-std=c++17",
            "-fPIC",
            "-shared",
            "-march=native",
            "-fno-math-errno",
            f"-I{_FOLDER}",
        ]
        read = [*command, text, *((_FOLDER / name).read_text() for name in HEADERS)]
        path = folder / f"emulated-{hashlib.sha256(''.join(read).encode()).hexdigest()[:12]}.so"
        if path.is_file():
            return path
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            source, library = Path(scratch, "kernels.cpp"), Path(scratch, "kernels.so")
            source.write_text(text)
            done = subprocess.run(
                [*command, str(source), "-o", str(library)], capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise MlipError(f"the emulated kernels did not compile; report this error: {done.stderr[:3000]}")
            os.replace(library, path)
        return path


def spilling_kernels(report: str) -> set[str]:
    """Return the kernels that spill registers to memory according to the compiler log."""
    found, name = set(), ""
    for line in report.splitlines():
        if match := re.search(r"entry function '(\w+)'", line):
            name = match[1]
        elif "spill stores" in line and "0 bytes spill stores, 0 bytes spill loads" not in line:
            found.add(name)
    return found
