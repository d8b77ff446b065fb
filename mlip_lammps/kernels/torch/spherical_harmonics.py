"""Real spherical harmonics in e3nn's convention, as polynomials that the compiler can fuse."""

import math
from functools import cache

import torch
from e3nn import o3
from torch import Tensor


def spherical_harmonics(unit_vectors: Tensor, l_max: int) -> Tensor:
    r"""Return Y_lm for l = 0 ... l_max in component normalisation, sum_m Y_lm^2 = 2l + 1.

    Parameters
    ----------
    unit_vectors
        Unit vectors, shape (n_edges, 3).

    Returns
    -------
    Tensor
        Spherical harmonics, shape (n_edges, (l_max + 1)^2), ordered by l, then by m as in e3nn.

    Notes
    -----
    Y_{l+1} is the highest-order product of Y_1 and Y_l, so that derivatives need only products and sums.
    """
    order_one = [math.sqrt(3.0) * unit_vectors[:, k] for k in range(3)]
    orders = [[torch.ones_like(unit_vectors[:, 0])]]
    if l_max > 0:
        orders.append(order_one)
    for order in range(1, l_max):
        next_order = []
        for terms in raising_terms(order):
            value = torch.zeros_like(unit_vectors[:, 0])
            for a, b, coefficient in terms:
                value = value + coefficient * (order_one[a] * orders[order][b])
            next_order.append(value)
        orders.append(next_order)
    return torch.stack([component for components in orders for component in components], dim=1)


@cache
def raising_terms(order: int) -> tuple[tuple[tuple[int, int, float], ...], ...]:
    """Return, for each m of ``order`` + 1, its terms (m of order 1, m of ``order``, coefficient)."""
    coupling = o3.wigner_3j(1, order, order + 1, dtype=torch.float64)
    direction = torch.nn.functional.normalize(torch.tensor([0.3, -0.7, 0.45], dtype=torch.float64), dim=0)
    lower = [o3.spherical_harmonics(k, direction, False, "component") for k in (1, order)]
    exact = o3.spherical_harmonics(order + 1, direction, False, "component")
    product = torch.einsum("abc,a,b->c", coupling, *lower)
    coupling = coupling * (exact @ product / (product @ product))
    return tuple(
        tuple(
            (a, b, float(coupling[a, b, c]))
            for a in range(3)
            for b in range(2 * order + 1)
            if abs(coupling[a, b, c]) > 1e-14
        )
        for c in range(2 * order + 3)
    )
