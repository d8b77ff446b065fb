"""Couplings of convolutions: those in the file, or else those of e3nn 0.4.4, with which mace-torch trains models.

Newer versions of e3nn changed the sign of many couplings whose three orders have an odd sum. Models with features of
both parities, or without parity, have such couplings.
"""

import numpy as np
import torch
from e3nn import o3
from torch import Tensor

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.mace.spec import MaceModel, couplings_of

_LARGEST_ORDER = 6
_NEGATIVE = frozenset(
    {
        (2, 1, 2), (2, 3, 2), (2, 4, 3), (2, 5, 4), (2, 6, 5), (3, 1, 3), (3, 2, 4), (3, 4, 2), (3, 5, 3), (4, 1, 4),
        (4, 2, 5), (4, 3, 4), (4, 3, 6), (4, 5, 2), (4, 5, 4), (4, 6, 5), (5, 1, 5), (5, 2, 6), (5, 3, 5), (5, 4, 6),
        (5, 6, 2), (5, 6, 4), (6, 1, 6), (6, 3, 4), (6, 3, 6), (6, 4, 3), (6, 5, 6),
    }
)
"""Couplings with an odd sum of orders up to 6 whose first coefficient that is not zero is negative in e3nn 0.4.4."""
_NEGLIGIBLE = 1e-9
_ROUNDING = 4e-3
"""Largest rounding of a coupling, that of a model which was bfloat16 once."""


def coupling(trained: MaceModel, t: int, l_in: int, l_edge: int, l_out: int) -> Tensor:
    """Return a coupling of layer ``t`` (from 1), shape (2 l_in + 1, 2 l_edge + 1, 2 l_out + 1), float64.

    e3nn rounds couplings to the precision in which a model is made, unless one of the orders is 0.

    Raises
    ------
    ModelFileError
        If the file has other numbers than rounded Wigner 3j symbols.
    UnsupportedModelError
        If the file has no couplings, the sum of the orders is odd and one of them is larger than 6.
    """
    orders = l_in, l_edge, l_out
    symbols = o3.wigner_3j(*orders, dtype=torch.float64)
    stored = trained.weights.get(couplings_of(t, orders))
    if stored is None:
        symbols = _sign(*orders) * symbols
        is_rounded = trained.dtype == "float32" and 0 not in orders
        return symbols.to(torch.float32).to(torch.float64) if is_rounded else symbols
    found = torch.from_numpy(stored.astype(np.float64))
    differences = [(found - sign * symbols).abs().max() for sign in (1.0, -1.0) if found.shape == symbols.shape]
    if any(difference < _ROUNDING for difference in differences):
        return found
    raise ModelFileError(
        f"{trained.source_name} has couplings of the orders {l_in}, {l_edge} and {l_out} that are not Wigner 3j "
        "symbols: the file is damaged; copy it again"
    )


def _sign(l_in: int, l_edge: int, l_out: int) -> float:
    """Return the sign by which the coefficients of the installed e3nn differ from those of version 0.4.4."""
    orders = l_in, l_edge, l_out
    if sum(orders) % 2 == 0:
        return 1.0
    if max(orders) > _LARGEST_ORDER:
        raise UnsupportedModelError(
            f"the model couples the orders {l_in}, {l_edge} and {l_out}, whose sign is known up to order "
            f"{_LARGEST_ORDER} only; train with a smaller max_ell"
        )
    coefficients = o3.wigner_3j(*orders, dtype=torch.float64).flatten()
    is_negative = bool(coefficients[coefficients.abs() > _NEGLIGIBLE][0] < 0.0)
    return 1.0 if is_negative == (orders in _NEGATIVE) else -1.0
