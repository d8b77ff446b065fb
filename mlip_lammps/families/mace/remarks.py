"""What a user should know of a MACE model that runs: where it differs from mace-torch or from physics."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.families.mace.interactions import block_of
from mlip_lammps.families.mace.spec import COUPLINGS, ModelSpec

_CHEBYSHEV = (
    "forces and stress are derivatives of the energy, so they differ from those of mace-torch: torch has no gradient "
    "of Chebyshev polynomials, and mace-torch leaves it out"
)
_STEPS = (
    "the energy of the trained model has steps where an atom crosses the cutoff, so that dynamics does not conserve "
    "it: its blocks do not vanish there with apply_cutoff True"
)
_HALF_PRECISION = (
    "the couplings of the trained model are rounded to half precision, so that its energy changes with the "
    "orientation, in mace-torch as here"
)
_BFLOAT16_BITS = 16
"""Last bits of a float32 that bfloat16 lacks."""


def remarks_of(spec: ModelSpec, weights: Mapping[str, NDArray[np.generic]]) -> Iterator[str]:
    """Yield remarks, each a clause without a full stop."""
    if spec.radial.basis == "chebyshev":
        yield _CHEBYSHEV
    blocks = [block_of(layer.interaction) for layer in spec.layers]
    if spec.radial.cutoff_on == "basis" and not all(block.vanishes_with_basis for block in blocks):
        yield _STEPS
    couplings = [array for name, array in weights.items() if "U_matrix" in name or COUPLINGS in name]
    if any(map(_is_in_half_precision, couplings)):
        yield _HALF_PRECISION


def _is_in_half_precision(array: NDArray[np.generic]) -> bool:
    """Return whether numbers, not all of them powers of two, are float16 or bfloat16 without loss."""
    numbers = np.abs(array[array != 0.0]).astype(np.float64)
    if (np.frexp(numbers)[0] == 0.5).all():  # exact in any precision
        return False
    single = numbers.astype(np.float32)
    is_bfloat16 = (single == numbers).all() and not (single.view(np.uint32) & (2**_BFLOAT16_BITS - 1)).any()
    return bool(is_bfloat16 or (numbers.astype(np.float16) == numbers).all())
