"""Compiles the operators of a model into one shared object and makes torch know them.

An operator is named after a digest of its source, so that models of one shape share it and others cannot collide.
"""

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from mlip_lammps.core.errors import MlipError
from mlip_lammps.kernels.cpu.contraction import ContractionShape
from mlip_lammps.kernels.cpu.convolution import ConvolutionShape
from mlip_lammps.kernels.cpu.density import DensityShape
from mlip_lammps.kernels.cpu.expansion import ExpansionShape
from mlip_lammps.kernels.cpu.linear import LinearShape
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.network import NetworkShape
from mlip_lammps.kernels.cpu.operators import (
    ContractionOp,
    ConvolutionOp,
    DensityOp,
    ExpansionOp,
    LinearOp,
    MomentsOp,
    NetworkOp,
    SymmetryOp,
)
from mlip_lammps.kernels.cpu.simd import COMPILE, n_registers, widest_vectors
from mlip_lammps.kernels.cpu.symmetry_functions import SymmetryShape
from mlip_lammps.kernels.operators import NoOperators, OperatorCode
from mlip_lammps.model_file.contract import KERNELS_PATH

_HEADERS = Path(__file__).parent

Shape = (
    ConvolutionShape
    | MomentsShape
    | NetworkShape
    | DensityShape
    | ContractionShape
    | ExpansionShape
    | LinearShape
    | SymmetryShape
)
_OPERATORS = {
    ConvolutionShape: ConvolutionOp,
    MomentsShape: MomentsOp,
    NetworkShape: NetworkOp,
    DensityShape: DensityOp,
    ContractionShape: ContractionOp,
    ExpansionShape: ExpansionOp,
    LinearShape: LinearOp,
    SymmetryShape: SymmetryOp,
}

_BEGIN = """namespace mlip_kernels {{ constexpr int VECTOR_REGISTERS = {n_registers}; }}
#include "contraction.h"
#include "convolution.h"
#include "density.h"
#include "expansion.h"
#include "linear.h"
#include "moments.h"
#include "network.h"
#include "symmetry_functions.h"
using namespace mlip_kernels;
namespace {{
"""

_END = """}    // namespace

extern "C" {
typedef struct AtenTensorOpaque *AtenTensorHandle;
int32_t aoti_torch_get_data_ptr(AtenTensorHandle, void **);
int32_t aoti_torch_get_size(AtenTensorHandle, int64_t, int64_t *);
int32_t aoti_torch_is_contiguous(AtenTensorHandle, bool *);
int32_t aoti_torch_empty_strided(int64_t, const int64_t *, const int64_t *, int32_t, int32_t, int32_t,
                                 AtenTensorHandle *);
int32_t aoti_torch_device_type_cpu();
int32_t aoti_torch_dtype_float32();
int32_t aoti_torch_dtype_float64();
}

namespace {
template <typename T> T *data(AtenTensorHandle tensor)
{
  void *pointer = nullptr;
  aoti_torch_get_data_ptr(tensor, &pointer);
  return static_cast<T *>(pointer);
}

int64_t rows(AtenTensorHandle tensor)
{
  int64_t n = 0;
  aoti_torch_get_size(tensor, 0, &n);
  return n;
}

template <typename T> int32_t empty(int64_t n_rows, int64_t width, AtenTensorHandle *result)
{
  const int64_t sizes[2] = {n_rows, width}, strides[2] = {width, 1};
  const int32_t dtype = sizeof(T) == 4 ? aoti_torch_dtype_float32() : aoti_torch_dtype_float64();
  return aoti_torch_empty_strided(2, sizes, strides, dtype, aoti_torch_device_type_cpu(), 0, result);
}

template <typename... Handles> bool all_contiguous(Handles... tensors)
{
  bool all = true, one = false;
  ((aoti_torch_is_contiguous(tensors, &one), all = all && one), ...);
  return all;
}
}    // namespace
"""


class LibraryOperators(NoOperators):
    """Operators in one library, which is compiled when it is first asked for.

    Parameters
    ----------
    folder
        See ``KernelLibrary``.

    Attributes
    ----------
    shapes
        Of every operator; derived classes set them.
    """

    shapes: Sequence[Shape]

    def __init__(self, folder: Path):
        self._folder = folder

    @cached_property
    def library(self) -> "KernelLibrary":
        """All operators."""
        return KernelLibrary(self.shapes, self._folder)

    def compile(self) -> None:
        _ = self.library

    def code(self) -> OperatorCode:
        record = {"instruction_set": widest_vectors().instruction_set, **self.record()}
        return OperatorCode({KERNELS_PATH: self.library.path}, record, self.library.shims())

    def record(self) -> dict[str, Any]:
        """Return further metadata entries."""
        return {}


def _function_sources(shape: Shape, digest: str) -> str:
    return "".join(function.source() for function in _OPERATORS[type(shape)](shape, digest).functions)


class KernelLibrary:
    """Operators of a model, compiled into one shared object.

    Parameters
    ----------
    shapes
        Of every operator, named apart.
    folder
        Where compiled libraries are kept; one that is there is used again.

    Attributes
    ----------
    operators
        By the names of their shapes.

    Raises
    ------
    MlipError
        If the source does not compile.
    """

    def __init__(self, shapes: Sequence[Shape], folder: Path):
        templates = [header.read_text() for header in sorted(_HEADERS.glob("*.h"))]
        structs = "".join(shape.source() for shape in shapes)
        begin, functions = _BEGIN.format(n_registers=n_registers()), (_function_sources(s, "DIGEST") for s in shapes)
        source = "".join([begin, structs, _END, *functions])
        text = "".join([*COMPILE, torch.__version__, *templates, source])
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.operators = {shape.name: _OPERATORS[type(shape)](shape, digest) for shape in shapes}
        self.path = folder / f"kernels-{digest}.so"
        if not self.path.is_file():
            self._compile(source.replace("DIGEST", digest))
        _register(self)

    def shims(self) -> dict[torch._ops.OpOverload, list[str]]:
        """Return what AOTInductor needs to call the C functions: the option ``custom_ops_to_c_shims``."""
        return {
            function.operator: [function.shim()]
            for op in self.operators.values()
            for function in op.functions
        }

    def _compile(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch_libraries = Path(torch.__file__).parent / "lib"
        with tempfile.TemporaryDirectory(dir=self.path.parent) as scratch:
            source, library = Path(scratch, "kernels.cpp"), Path(scratch, "kernels.so")
            source.write_text(text)
            command = [*COMPILE, f"-I{_HEADERS}", str(source), "-o", str(library)]
            done = subprocess.run(
                [*command, f"-L{torch_libraries}", "-ltorch_cpu"], capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise MlipError(f"the kernels did not compile: {done.stderr[:2000]}")
            os.replace(library, self.path)


_libraries: dict[str, ctypes.CDLL] = {}


def _register(kernels: KernelLibrary) -> None:
    """Register the operators of a library once a process."""
    if kernels.path.name in _libraries:
        return
    library = ctypes.CDLL(str(kernels.path))
    _libraries[kernels.path.name] = library
    for op in kernels.operators.values():
        for function in op.functions:
            function.register(library)
        op.connect()
