"""The precision in which mace-torch made a model.

The couplings of e3nn have it, and keep its rounding when the model is converted (``model.double()``). Those of the
products (``U_matrix``) tell it, or the weights if the products have no couplings of vectors. Those of the convolutions,
which were made with them, are not read.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import UnsupportedModelError
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
    convolution = model.child("interactions").children()[0].child("conv_tp")
    if not convolution.full_name.startswith("e3nn."):
        return stored  # converted models have couplings of their own
    couplings = [array for name, array in weights.items() if ".U_matrix_" in name]
    n_bits = max(map(_significant_bits, couplings), default=0)
    if n_bits <= _TRIVIAL_BITS:
        n_bits = _significant_bits(embedding.array("weight"))
    if n_bits <= _TRIVIAL_BITS:
        return stored
    if n_bits <= _HALF_BITS:
        raise UnsupportedModelError(
            f"{model.source} was in half precision once, which rounded its couplings to {n_bits} bits, so that its "
            "energy changes with the orientation; give the model that was saved before"
        )
    return "float32" if n_bits <= _SINGLE_BITS else stored


def _significant_bits(array: NDArray[np.generic]) -> int:
    """Return the largest number of significant bits of the finite numbers of an array, at most 53."""
    mantissas = np.frexp(np.abs(array[np.isfinite(array)]).astype(np.float64))[0]
    digits = np.unique(np.ldexp(mantissas, _DOUBLE_BITS).astype(np.int64))
    digits = digits[digits > 0]
    lowest = digits & -digits
    return int(np.rint(_DOUBLE_BITS - np.log2(lowest.min()))) if digits.size else 0
