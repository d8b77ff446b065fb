"""Coupling coefficients with the signs of e3nn 0.4.4, with which mace-torch trains models.

Newer versions of e3nn changed the sign of many couplings whose three orders have an odd sum. Models with features of
both parities, or without parity, have such couplings.
"""

import torch
from e3nn import o3
from torch import Tensor

from mlip_lammps.core.errors import UnsupportedModelError

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


def wigner_3j(l_in: int, l_edge: int, l_out: int) -> Tensor:
    """Return the coupling coefficients, shape (2 l_in + 1, 2 l_edge + 1, 2 l_out + 1), float64.

    Raises
    ------
    UnsupportedModelError
        If the sum of the orders is odd and one of them is larger than 6.
    """
    return coupling_sign(l_in, l_edge, l_out) * o3.wigner_3j(l_in, l_edge, l_out, dtype=torch.float64)


def coupling_sign(l_in: int, l_edge: int, l_out: int) -> float:
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
