"""Compiles the operators of a model into one shared object and makes torch know them.

An operator is named after a digest of its source, so that models of one shape share it and others cannot collide.
"""

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from mlip_lammps.core.errors import MlipError
from mlip_lammps.kernels.cpu_contraction import ContractionShape
from mlip_lammps.kernels.cpu_ops import ContractionOp, ConvolutionOp
from mlip_lammps.kernels.cpu_source import HEADERS, ConvolutionShape

# Not -ffast-math: it removes the checks for numbers that are not finite.
_COMPILE = (
    *("g++", "-O3", "-march=native", "-std=c++17", "-fPIC", "-shared", "-fopenmp", "-fno-math-errno"),
    "-Wno-attributes",
)

_SHIM_DECLARATIONS = """
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


class KernelLibrary:
    """Operators of all layers of a model, compiled into one shared object.

    Parameters
    ----------
    convolutions, contractions
        One of each for every layer, named apart.
    folder
        Where compiled libraries are kept; one that is there is used again.

    Raises
    ------
    MlipError
        If the source does not compile.
    """

    def __init__(
        self, convolutions: Sequence[ConvolutionShape], contractions: Sequence[ContractionShape], folder: Path
    ):
        shapes = [*convolutions, *contractions]
        templates = [(HEADERS / name).read_text() for name in ("common.h", "convolution.h", "contraction.h")]
        text = "".join([*_COMPILE, torch.__version__, *templates, *(shape.source() for shape in shapes)])
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self.convolutions = [ConvolutionOp(shape, digest) for shape in convolutions]
        self.contractions = [ContractionOp(shape, digest) for shape in contractions]
        self.path = folder / f"kernels-{digest}.so"
        if not self.path.is_file():
            self._compile(shapes)
        _register(self)

    def source(self, shapes: Sequence[ConvolutionShape | ContractionShape]) -> str:
        """Return the whole C++ file."""
        parts = ['#include "convolution.h"\n#include "contraction.h"\n', "using namespace mlip_kernels;\nnamespace {\n"]
        parts += [shape.source() for shape in shapes]
        parts += ["}    // namespace\n", _SHIM_DECLARATIONS]
        parts += [op.source() for op in self.operators]
        return "".join(parts)

    @property
    def operators(self) -> list[ConvolutionOp | ContractionOp]:
        return [*self.convolutions, *self.contractions]

    def shims(self) -> dict[torch._ops.OpOverload, list[str]]:
        """Return what AOTInductor needs to call the C functions: the option ``custom_ops_to_c_shims``."""
        return {
            getattr(torch.ops.mlip_lammps, name).default: [declaration]
            for op in self.operators
            for name, declaration in op.shims().items()
        }

    def _compile(self, shapes: Sequence[ConvolutionShape | ContractionShape]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torch_libraries = Path(torch.__file__).parent / "lib"
        with tempfile.TemporaryDirectory(dir=self.path.parent) as scratch:
            source, library = Path(scratch, "kernels.cpp"), Path(scratch, "kernels.so")
            source.write_text(self.source(shapes))
            command = [*_COMPILE, f"-I{HEADERS}", str(source), "-o", str(library)]
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
    for op in kernels.operators:
        op.register(library)
