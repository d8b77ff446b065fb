"""Terms of ANI potentials as torch functions. All are zero with a zero gradient beyond their cutoff."""

import math
from collections.abc import Callable

import torch
from ase.units import Bohr
from torch import Tensor

from mlip_lammps.families.ani.spec import AngularTerms, CutoffFunction, RadialTerms, Repulsion

COSINE_FACTOR = 0.95
"""Factor of the cosines of angles in NeuroChem and TorchANI, which keeps their arc cosine differentiable."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "celu": lambda x: torch.nn.functional.celu(x, alpha=0.1),
    "gelu": torch.nn.functional.gelu,
}


def cutoff_value(function: CutoffFunction, distances: Tensor, cutoff: float) -> Tensor:
    """Return the values of a cutoff function; distances and cutoff in angstrom."""
    x = (distances / cutoff).clamp(max=1.0)
    if function.form == "cosine":
        return 0.5 * torch.cos(math.pi * x) + 0.5
    if function.form == "smooth":
        return torch.exp(1.0 - 1.0 / (1.0 - x**function.order).clamp(min=function.floor))
    return (1.0 - x * x) ** (2 if function.form == "biweight" else 3)


def radial_values(terms: RadialTerms, function: CutoffFunction, distances: Tensor) -> Tensor:
    """Return the radial terms of distances (n,), shape (n_terms, n)."""
    factors = 0.25 * cutoff_value(function, distances, terms.cutoff)
    return factors * torch.exp(-terms.eta * (distances - _column(terms.shifts)).square())


def angular_values(terms: AngularTerms, cosines: Tensor, means: Tensor, factors: Tensor) -> Tensor:
    """Return the angular terms of n angles, shape (n_terms, n), with the shift as the slower index.

    Parameters
    ----------
    cosines
        Cosines of the angles, shape (n,).
    means
        Means of the distances of both neighbours in angstrom, shape (n,).
    factors
        Products of the cutoff functions of both distances, shape (n,).
    """
    angles = torch.acos(COSINE_FACTOR * cosines)
    by_section = 2.0 * (0.5 + 0.5 * torch.cos(angles - _column(terms.sections))) ** terms.zeta
    by_shift = factors * torch.exp(-terms.eta * (means - _column(terms.shifts)).square())
    return (by_shift[:, None] * by_section).flatten(0, 1)


def _column(numbers: tuple[float, ...]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def repulsion_energies(
    repulsion: Repulsion, distances: Tensor, y: Tensor, sqrt_alpha: Tensor, k: Tensor
) -> Tensor:
    """Return the repulsion energies of pairs of atoms in hartree, shape (n,).

    Parameters
    ----------
    distances
        In angstrom, shape (n,).
    y, sqrt_alpha, k
        Parameters of the pairs in atomic units, shape (n,).
    """
    lengths = distances / Bohr
    values = y / lengths * torch.exp(-sqrt_alpha * lengths**k)
    return values * cutoff_value(repulsion.cutoff_function, distances, repulsion.cutoff)
