"""Zeros of spherical Bessel functions, and smooth combinations of them. This module does not import torch."""

import math
from functools import cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import spherical_jn


@cache
def bessel_zeros(max_l: int, max_n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return the first zeros z_ln of j_l for l = 0 ... max_l - 1, and sqrt(2) / \|j_{l+1}(z_ln)\|.

    Both have the shape (max_l, max_n). The zeros of j_l separate those of j_{l+1}.
    """
    found = [np.pi * np.arange(1, max_n + max_l + 1)]
    for order in range(1, max_l):
        bessel = partial(spherical_jn, order)
        found.append(np.array([brentq(bessel, *ends) for ends in pairwise(found[-1])]))
    zeros = np.stack([roots[:max_n] for roots in found])
    factors = [math.sqrt(2.0) / np.abs(spherical_jn(order + 1, roots)) for order, roots in enumerate(zeros)]
    return zeros, np.stack(factors)


@cache
def smooth_matrix(n: int) -> NDArray[np.float64]:
    """Return the matrix from sin(k pi x) / (k pi x), k = 1 ... n + 1, to n orthogonal functions for a cutoff of 1.

    These are the functions of Kocer et al., J. Chem. Phys. 150, 154102 (2019), arXiv:1907.02374.
    """
    columns, e, d = [], [], []
    for k in range(n):
        e.append(k**2 * (k + 2) ** 2 / (4 * (k + 1) ** 4 + 1))
        d.append(1.0 - e[k] / d[k - 1] if k else 1.0)
        column = np.zeros(n + 1)
        column[k : k + 2] = (-1) ** k * math.sqrt(2.0) * np.pi * (k + 1) * (k + 2) / math.hypot(k + 1, k + 2)
        if k:
            column = (column + math.sqrt(e[k] / d[k - 1]) * columns[-1]) / math.sqrt(d[k])
        columns.append(column)
    return np.stack(columns, axis=1)
