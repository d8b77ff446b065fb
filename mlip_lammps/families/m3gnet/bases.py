"""Radial functions and activation functions as torch functions."""

import math

import torch
from torch import Tensor

from mlip_lammps.families.m3gnet.spec import M3GNetSpec
from mlip_lammps.families.matgl.bessel import bessel_zeros, smooth_matrix

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
    for order, (roots, factors) in enumerate(zip(*bessel_zeros(spec.max_l, spec.max_n), strict=True)):
        norms = factors * spec.cutoff**-1.5
        x = scaled * torch.from_numpy(roots)
        before, value = torch.cos(x) / x, torch.sin(x) / x
        for k in range(order):
            before, value = value, (2 * k + 1) / x * value - before
        columns.append(value * torch.from_numpy(norms))
    return torch.cat(columns, dim=1)


def _smooth(spec: M3GNetSpec, scaled: Tensor) -> Tensor:
    """Return the functions of Kocer et al., J. Chem. Phys. 150, 154102 (2019), arXiv:1907.02374."""
    matrix = torch.from_numpy(smooth_matrix(spec.n_threebody) / spec.cutoff**1.5)
    x = scaled * (math.pi * torch.arange(1, spec.n_threebody + 2, dtype=torch.float64))
    return (torch.sin(x) / x) @ matrix
