"""Spherical harmonics in the convention of the PACE library, from real ones in the convention of e3nn."""

import torch
from torch import Tensor

from mlip_lammps.kernels.torch.spherical_harmonics import spherical_harmonics

_AXES = (1, 2, 0)
"""e3nn takes y as the polar axis, the library z."""


def turned(vectors: Tensor) -> Tensor:
    """Return vectors (n, 3) with the axes in the order of e3nn."""
    return torch.stack([vectors[:, axis] for axis in _AXES], dim=1)


def real_harmonics(turned_vectors: Tensor, distances: Tensor, l_max: int) -> Tensor:
    """Return real harmonics with sum_m Y_lm^2 = 2 l + 1, shape (n, (l_max + 1)^2), for `turned` vectors."""
    return spherical_harmonics(turned_vectors / distances[:, None], l_max)


def complex_parts(real: Tensor, l_max: int) -> tuple[Tensor, Tensor]:
    """Return real and imaginary parts of sums over Y_lm from those over real harmonics.

    Parameters
    ----------
    real
        Shape (..., (l_max + 1)^2): m from -l to l for each l.

    Returns
    -------
    real, imaginary
        In the same order and shape, with the phase of Condon and Shortley: Y_l,-m = (-1)^m conj(Y_lm).
    """
    cosines, sines = _rows(l_max)
    return tuple(real.index_select(-1, rows) * factors.to(real.dtype) for rows, factors in (cosines, sines))


def _rows(l_max: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return, for both parts, the real harmonic and the factor of each complex one."""
    cosines, signs, sines, others = [], [], [], []
    for order in range(l_max + 1):
        for m in range(-order, order + 1):
            zero = order**2 + order
            cosines.append(zero + abs(m))
            sines.append(zero - abs(m))
            phase = (-1.0) ** m if m > 0 else 1.0
            signs.append(1.0 if m == 0 else phase * 0.5**0.5)
            others.append(0.0 if m == 0 else phase * 0.5**0.5 * (1.0 if m > 0 else -1.0))
    first = torch.tensor(cosines), torch.tensor(signs, dtype=torch.float64)
    second = torch.tensor(sines), torch.tensor(others, dtype=torch.float64)
    return first, second
