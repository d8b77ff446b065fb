"""Radial functions, angular functions and activation functions as torch functions."""

import math

import torch
from torch import Tensor

from mlip_lammps.families.chgnet.spec import CHGNetSpec

ACTIVATIONS = {"silu": torch.nn.functional.silu, "tanh": torch.tanh, "gelu": torch.nn.functional.gelu}

_ALMOST_ONE = 1.0 - 1e-6
"""Factor of the cosine in CHGNet, with which the derivative of its arc cosine is finite."""


def radial_functions(spec: CHGNetSpec, distances: Tensor, frequencies: Tensor, cutoff: float) -> Tensor:
    """Return sqrt(2 / c) sin(f_n r / c) / r times the cutoff function of ``CHGNetSpec.cutoff_power``.

    Parameters
    ----------
    distances
        In angstrom, shape (n,).
    frequencies
        f_n, shape (n_radial,).
    cutoff
        c in angstrom.

    Returns
    -------
    Tensor
        Shape (n, n_radial); zero beyond the cutoff.
    """
    scaled = distances[:, None] / cutoff
    p = spec.cutoff_power
    first, second, third = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    envelope = 1.0 - scaled**p * (first - scaled * (second - third * scaled))
    values = math.sqrt(2.0 / cutoff) * envelope * torch.sin(frequencies * scaled) / distances[:, None]
    return torch.where(scaled < 1.0, values, 0.0)


def angular_functions(first: Tensor, second: Tensor, frequencies: Tensor) -> Tensor:
    """Return 1 / sqrt(2 pi), sin(f_n a) / sqrt(pi) and cos(f_n a) / sqrt(pi) of the angles a between vectors.

    Parameters
    ----------
    first, second
        Unit vectors, shape (n_angles, 3).
    frequencies
        f_n, shape ((n_angular - 1) / 2,).

    Returns
    -------
    Tensor
        Shape (n_angles, n_angular).
    """
    angles = torch.acos(_ALMOST_ONE * (first * second).sum(dim=1))
    phases = angles[:, None] * frequencies
    constant = torch.full_like(angles[:, None], math.sqrt(0.5))
    return torch.cat([constant, torch.sin(phases), torch.cos(phases)], dim=1) / math.sqrt(math.pi)
