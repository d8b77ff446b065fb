"""Radial functions and activation functions as torch functions."""

import math
from functools import cache, partial
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.special import spherical_jn
from torch import Tensor

from mlip_lammps.families.m3gnet.spec import M3GNetSpec

ACTIVATIONS = {
    "swish": torch.nn.functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus2": lambda x: torch.nn.functional.softplus(x) - math.log(2.0),
}


def radial_functions(spec: M3GNetSpec, distances: Tensor) -> Tensor:
    """Return the radial functions of pairs of edges; the first ``spec.n_radial`` are those of the messages.

    Parameters
    ----------
    distances
        In angstrom, shape (n_edges,).

    Returns
    -------
    Tensor
        Functions in the order of their l, shape (n_edges, max_l * max_n); zero beyond the cutoff.
    """
    scaled = distances[:, None] / spec.cutoff
    values = _smooth(spec, scaled) if spec.has_smooth_basis else _spherical_bessel(spec, scaled)
    return torch.where(scaled < 1.0, values, 0.0)


def threebody_envelope(spec: M3GNetSpec, distances: Tensor) -> Tensor:
    """Return 1 - 10 x^3 + 15 x^4 - 6 x^5 with x = r / threebody_cutoff, zero beyond it; shape (n_edges,)."""
    x = (distances / spec.threebody_cutoff).clamp(max=1.0)
    return 1.0 - x**3 * (10.0 - x * (15.0 - 6.0 * x))


def _spherical_bessel(spec: M3GNetSpec, scaled: Tensor) -> Tensor:
    r"""Return sqrt(2 / c^3) j_l(z_ln r / c) / \|j_{l+1}(z_ln)\| with the n-th zero z_ln of j_l."""
    columns = []
    for order, roots in enumerate(_roots(spec.max_l, spec.max_n)):
        norms = math.sqrt(2.0 / spec.cutoff**3) / np.abs(spherical_jn(order + 1, roots))
        x = scaled * torch.from_numpy(roots)
        before, value = torch.cos(x) / x, torch.sin(x) / x
        for k in range(order):
            before, value = value, (2 * k + 1) / x * value - before
        columns.append(value * torch.from_numpy(norms))
    return torch.cat(columns, dim=1)


def _smooth(spec: M3GNetSpec, scaled: Tensor) -> Tensor:
    """Return the functions of Kocer et al., J. Chem. Phys. 150, 154102 (2019), arXiv:1907.02374."""
    matrix = torch.from_numpy(_smooth_matrix(spec.n_threebody) / spec.cutoff**1.5)
    x = scaled * (math.pi * torch.arange(1, spec.n_threebody + 2, dtype=torch.float64))
    return (torch.sin(x) / x) @ matrix


@cache
def _roots(max_l: int, max_n: int) -> tuple[np.ndarray, ...]:
    """Return the first zeros of j_l for l = 0 ... max_l - 1; those of j_l separate those of j_{l+1}."""
    found = [np.pi * np.arange(1, max_n + max_l + 1)]
    for order in range(1, max_l):
        bessel = partial(spherical_jn, order)
        found.append(np.array([brentq(bessel, *ends) for ends in pairwise(found[-1])]))
    return tuple(roots[:max_n] for roots in found)


@cache
def _smooth_matrix(n: int) -> np.ndarray:
    """Return the matrix from sin(k pi x) / (k pi x), k = 1 ... n + 1, to n orthogonal functions for a cutoff of 1."""
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
