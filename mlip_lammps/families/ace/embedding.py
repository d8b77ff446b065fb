"""Energies of atoms from their densities and core repulsion, as torch functions."""

import torch
from torch import Tensor

from mlip_lammps.families.ace.radial import falling
from mlip_lammps.families.ace.spec import EmbeddingSpec

_W = 1e6
"""Inverse density where F changes from a line to a power."""
_SMALLEST = 1e-10
_FAR = 30.0


def embedded(spec: EmbeddingSpec, densities: Tensor) -> Tensor:
    """Return sum_p w_p F(rho_p), shape (n,), of densities (n, n_densities)."""
    function = _FUNCTIONS[spec.name]
    terms = zip(spec.weights, spec.exponents, densities.unbind(1), strict=True)
    return sum(weight * function(rho, power) for weight, power, rho in terms)


def _power(rho: Tensor, power: float) -> Tensor:
    """Return sign(rho) |rho|^m, and a line where |rho| is below about 1e-6."""
    slope = (1.0 / _W) ** (power - 1.0)
    sign = torch.where(rho < 0.0, -1.0, 1.0)
    is_small = rho.abs() <= _SMALLEST
    a = torch.where(is_small, 1.0, sign * rho)
    cube = (_W * a) ** 3
    is_far = cube > _FAR
    line = torch.where(is_far, 0.0, torch.exp(-torch.where(is_far, 0.0, cube)))
    return torch.where(is_small, slope * rho, sign * ((1.0 - line) * a**power + slope * line * a))


def _shifted_power(rho: Tensor, power: float) -> Tensor:
    """Return sign(rho) ((x + |rho|)^m - y), where x and y vanish for large |rho| and F is a line through 0."""
    if abs(power - 1.0) < _SMALLEST:
        return rho
    sign = torch.where(rho < 0.0, -1.0, 1.0)
    a = sign * rho
    n = 1.0 / power
    decay = torch.exp(-a)
    x = n ** (n / (1.0 - n)) * decay
    y = n ** (1.0 / (1.0 - n)) * decay
    return sign * ((x + a) ** power - y)


_FUNCTIONS = {"FinnisSinclair": _power, "FinnisSinclairShiftedScaled": _shifted_power}


def with_core(spec: EmbeddingSpec, energies: Tensor, core: Tensor) -> Tensor:
    """Return energies of the densities, less where the core repulsion of the atom is large, and the core repulsion."""
    return energies * falling(core, spec.core_cutoff, spec.core_width) + core


def with_zbl(energies: Tensor, core: Tensor, nearest: Tensor, widths: Tensor) -> Tensor:
    """Return a mixture of the energies of the densities and the ZBL repulsion, shape (n,).

    Parameters
    ----------
    nearest
        Shortest distance of a neighbour beyond the beginning of its inner cutoff, in angstrom, shape (n,).
    widths
        Width of the inner cutoff of this neighbour in angstrom, shape (n,).
    """
    share = falling(widths - nearest, widths, widths)
    return energies * share + core * (1.0 - share)


def nearest_neighbours(
    beyond: Tensor, widths: Tensor, centre: Tensor, n_atoms: int
) -> tuple[Tensor, Tensor]:
    """Return what ``with_zbl`` takes, from distances ``beyond`` and ``widths`` of all edges, shape (n_edges,).

    Neighbours at the same distance share the gradient.
    """
    far = beyond.new_full((n_atoms,), 1e3)
    nearest = far.scatter_reduce(0, centre, beyond.detach(), "amin")
    is_nearest = (beyond.detach() == nearest.index_select(0, centre)).to(beyond.dtype)
    count = beyond.new_zeros(n_atoms).index_add(0, centre, is_nearest).clamp(min=1.0)

    def of_nearest(values: Tensor) -> Tensor:
        return beyond.new_zeros(n_atoms).index_add(0, centre, values * is_nearest) / count

    is_alone = nearest >= 1e3
    return torch.where(is_alone, far, of_nearest(beyond)), torch.where(is_alone, 1.0, of_nearest(widths))
