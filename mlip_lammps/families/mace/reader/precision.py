"""The precision in which mace-torch made a model.

The couplings of e3nn have it, and keep its rounding when the model is converted (``model.double()``). The reader knows
these couplings, except for their rounding.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import script_buffers
from mlip_lammps.families.checkpoints.pickle_reader import Record
from mlip_lammps.families.mace.reader.module import Module

_TRIVIAL_BITS = 3
"""Couplings of scalars, such as 1, have no more; those of vectors have all bits of their precision."""
_HALF_BITS, _SINGLE_BITS, _DOUBLE_BITS = 11, 24, 53


def trained_precision(model: Module, embedding: Module, weights: Mapping[str, NDArray[np.generic]]) -> str:
    """Return ``float32`` or ``float64``.

    Raises
    ------
    UnsupportedModelError
        If the model was in half precision once.
    """
    stored = str(embedding.precision("weight"))
    interactions = model.child("interactions").children()
    if not all(one.child("conv_tp").full_name.startswith("e3nn.") for one in interactions):
        return stored  # converted models have couplings of their own
    convolutions = [array for one in interactions for array in _couplings(one.child("conv_tp"))]
    products = [array for name, array in weights.items() if ".U_matrix_" in name]
    n_bits = max(map(_significant_bits, convolutions or products), default=0)
    if n_bits <= _TRIVIAL_BITS:
        return stored
    if n_bits <= _HALF_BITS:
        raise UnsupportedModelError(
            f"{model.source} was in half precision once, which rounded its couplings to {n_bits} bits, so that its "
            "energy changes with the orientation; give the model that was saved before"
        )
    return "float32" if n_bits <= _SINGLE_BITS else stored


def _couplings(convolution: Module) -> Iterator[NDArray[np.generic]]:
    """Yield the couplings that e3nn compiled into a tensor product; none for products with scalars only."""
    code = convolution.attribute("__codegen__", None)
    for archive in code.values() if isinstance(code, dict) else ():
        if isinstance(archive, Record) and archive.name == "_codecs.encode" and archive.args:
            archive = archive.args[0].encode("latin1", "replace") if isinstance(archive.args[0], str) else b""
        if isinstance(archive, bytes):
            yield from script_buffers(archive, "_w3j_", convolution.source)


def _significant_bits(array: NDArray[np.generic]) -> int:
    """Return the largest number of significant bits of the finite numbers of an array, at most 53."""
    mantissas = np.frexp(np.abs(array[np.isfinite(array)]).astype(np.float64))[0]
    digits = np.unique(np.ldexp(mantissas, _DOUBLE_BITS).astype(np.int64))
    digits = digits[digits > 0]
    lowest = digits & -digits
    return int(np.rint(_DOUBLE_BITS - np.log2(lowest.min()))) if digits.size else 0
