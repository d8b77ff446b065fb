"""Radial functions and angular functions as torch functions."""

import math

import torch
from torch import Tensor

from mlip_lammps.families.matgl_chgnet.spec import MatGLCHGNetSpec
from mlip_lammps.kernels.torch.radial import ACTIVATIONS

_LARGEST_COSINE = 1.0 - 1e-7
"""Bound of the cosine in MatGL, with which the derivative of its arc cosine is finite."""


def activation_function(spec: MatGLCHGNetSpec):
    """Return the activation function of hidden layers."""
    return ACTIVATIONS["silu" if spec.activation == "swish" else spec.activation]


def radial_functions(spec: MatGLCHGNetSpec, distances: Tensor, frequencies: Tensor, cutoff: float) -> Tensor:
    """Return g(v) v for v = sqrt(2 / c) sin(f_n r / c) / r, where g is the cutoff function of the value v.

    With x = v / c, g = 1 - x^p ((p + 1)(p + 2) / 2 - p (p + 2) x + p (p + 1) / 2 x^2), and 0 for x above 1. MatGL gives
    the function the value in place of the distance, so that it does not vanish at the cutoff.

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
    values = math.sqrt(2.0 / cutoff) * torch.sin(frequencies * scaled) / distances[:, None]
    x, p = values / cutoff, spec.cutoff_power
    first, second, third = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    envelope = torch.where(x <= 1.0, 1.0 - x**p * (first - x * (second - third * x)), 0.0)
    return torch.where(scaled < 1.0, envelope * values, 0.0)


def angular_functions(first: Tensor, second: Tensor, frequencies: Tensor) -> Tensor:
    """Return cos(f_n a) / pi and sin(f_n a) / pi of the angles a between vectors, in the order of n.

    Parameters
    ----------
    first, second
        Unit vectors, shape (n_angles, 3).
    frequencies
        f_n, shape (n_angular + 1,); the sine of the first one is left out.

    Returns
    -------
    Tensor
        Cosine of the first, and then sine and cosine of each further frequency, shape (n_angles, 2 n_angular + 1).
    """
    cosines = (first * second).sum(dim=1).clamp(-_LARGEST_COSINE, _LARGEST_COSINE)
    phases = torch.acos(cosines)[:, None] * frequencies
    pairs = torch.stack([torch.sin(phases[:, 1:]), torch.cos(phases[:, 1:])], dim=2).flatten(1)
    return torch.cat([torch.cos(phases[:, :1]), pairs], dim=1) / math.pi
