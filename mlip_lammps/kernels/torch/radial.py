"""Radial functions: Bessel basis, polynomial cutoff and the MLP that gives the convolution weights."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import DistanceTransform


def bessel_basis(distances: Tensor, wave_numbers: Tensor, prefactor: Tensor) -> Tensor:
    """Return prefactor * sin(k r) / r, shape (n_edges, n_basis), for distances (n_edges,) in angstrom."""
    r = distances.unsqueeze(1)
    return prefactor * torch.sin(wave_numbers * r) / r


def mapped_distances(transform: DistanceTransform, distances: Tensor, lengths: Tensor) -> Tensor:
    """Return the distance transform of ``distances`` with the length of each pair, shape (n_edges,)."""
    if transform.kind == "Agnesi":
        a, q, p = transform.parameters
        x = distances / lengths
        # x^q / (1 + x^(q - p)) without the power that is infinite at zero
        return 1.0 / (1.0 + a * x.pow(p) / (1.0 + x.pow(p - q)))
    (alpha,) = transform.parameters
    low, high = 3.0 / 4.0 * lengths, 4.0 / 3.0 * lengths
    step = torch.tanh(alpha / (high - low) * (distances - 0.5 * (low + high)))
    return low + 0.5 * (distances - low) * (1.0 + step)


def density_terms(
    distances: Tensor,
    wave_numbers: Tensor,
    prefactor: Tensor,
    cutoff: float,
    cutoff_power: int,
    is_cutoff_on_basis: bool,
    matrix: Tensor,
    mapped: Tensor | None = None,
) -> Tensor:
    """Return what each neighbour adds to the density, shape (n_edges,); arguments as for ``radial_weights``."""
    envelope = polynomial_cutoff(distances, cutoff, cutoff_power)
    basis = bessel_basis(distances if mapped is None else mapped, wave_numbers, prefactor)
    values = (basis @ matrix).squeeze(1)
    if is_cutoff_on_basis:
        return torch.tanh((values * envelope).square())
    return torch.tanh(values.square()) * envelope


def polynomial_cutoff(distances: Tensor, cutoff: float, power: int) -> Tensor:
    """Return the smooth step from 1 at 0 to 0 at ``cutoff``, shape (n_edges,) (arXiv 2003.03123, eq. 8)."""
    x = distances / cutoff
    p = float(power)
    x_p = x.pow(power)
    envelope = (
        1.0
        - (p + 1.0) * (p + 2.0) / 2.0 * x_p
        + p * (p + 2.0) * x_p * x
        - p * (p + 1.0) / 2.0 * x_p * x * x
    )
    return torch.where(x < 1.0, envelope, torch.zeros_like(envelope))


def radial_mlp(basis: Tensor, matrices: Sequence[Tensor], activation_scale: float) -> Tensor:
    """Return MLP(basis), shape (n_edges, n_weights), with scaled silu between the matrices and none after the last."""
    hidden = basis
    for matrix in matrices[:-1]:
        hidden = activation_scale * torch.nn.functional.silu(hidden @ matrix)
    return hidden @ matrices[-1]


def radial_weights(
    distances: Tensor,
    wave_numbers: Tensor,
    prefactor: Tensor,
    cutoff: float,
    cutoff_power: int,
    is_cutoff_on_basis: bool,
    matrices: Sequence[Tensor],
    activation_scale: float,
    mapped: Tensor | None = None,
) -> Tensor:
    """Return the convolution weights, shape (n_edges, n_weights), with the dtype of ``matrices``.

    Basis and cutoff are computed in the dtype of ``distances``; the cutoff multiplies the basis or the weights.
    The Bessel functions take ``mapped`` in place of the distances, if it is given.
    """
    envelope = polynomial_cutoff(distances, cutoff, cutoff_power).unsqueeze(1)
    basis = bessel_basis(distances if mapped is None else mapped, wave_numbers, prefactor)
    if is_cutoff_on_basis:
        basis = basis * envelope
    weights = radial_mlp(basis.to(matrices[0].dtype), matrices, activation_scale)
    return weights if is_cutoff_on_basis else weights * envelope.to(weights.dtype)
