"""Latent Ewald summation in plain torch, with which the compiled one is compared; see ``LatentEwald``."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlip_lammps.structure.latent_ewald import LatentEwald
from mlip_lammps.structure.voigt import voigt_of

_AT_BOUND = 1e-10
"""Relative width of the bound of the sum, within which a vector counts: perfect cells have vectors exactly at it."""


@dataclass(frozen=True)
class LatentEnergy:
    """Energy of given charges and its derivatives, float64.

    Attributes
    ----------
    atom_energies
        Half of charge times potential in eV, shape (n_atoms,); their sum is the energy.
    potentials
        Derivatives with respect to the charges in eV, shape (n_atoms,).
    gradients
        Derivatives with respect to the positions in eV/angstrom, shape (n_atoms, 3).
    virial
        Derivatives with respect to strain in eV, shape (6,), Voigt order xx yy zz yz xz xy.
    """

    atom_energies: Tensor
    potentials: Tensor
    gradients: Tensor
    virial: Tensor


def latent_energy(
    ewald: LatentEwald, charges: Tensor, positions: NDArray[np.float64], cell: NDArray[np.float64] | None
) -> LatentEnergy:
    """Return the long-range energy of ``charges``, shape (n_atoms,), with all derivatives at fixed charges.

    Parameters
    ----------
    positions
        Positions in angstrom, shape (n_atoms, 3).
    cell
        Cell vectors in angstrom, shape (3, 3); None without periodic boundaries.
    """
    q = charges.detach().to(torch.float64).requires_grad_(True)
    x = torch.tensor(positions, dtype=torch.float64, requires_grad=True)
    strain = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    stretch = torch.eye(3, dtype=torch.float64) + strain
    if cell is None:
        energy = _direct_sum(ewald, q, x @ stretch)
    else:
        energy = _reciprocal_sum(ewald, q, x @ stretch, torch.tensor(cell, dtype=torch.float64), stretch)
    potentials, gradients, of_strain = torch.autograd.grad(energy, (q, x, strain), materialize_grads=True)
    virial = torch.from_numpy(voigt_of(0.5 * (of_strain + of_strain.T).numpy()))
    return LatentEnergy(0.5 * q.detach() * potentials, potentials, gradients, virial)


def _self_energy(ewald: LatentEwald, q: Tensor) -> Tensor:
    return ewald.strength * (q * q).sum() / (ewald.sigma * (2.0 * math.pi) ** 1.5)


def _direct_sum(ewald: LatentEwald, q: Tensor, x: Tensor) -> Tensor:
    i, j = torch.triu_indices(len(q), len(q), offset=1)
    distances = torch.linalg.norm(x[i] - x[j], dim=1)
    pairs = q[i] * q[j] * torch.erf(distances / (math.sqrt(2.0) * ewald.sigma)) / distances
    energy = ewald.strength / (2.0 * math.pi) * pairs.sum()
    return energy + _self_energy(ewald, q) if ewald.has_self_interaction else energy


def _reciprocal_sum(ewald: LatentEwald, q: Tensor, x: Tensor, cell: Tensor, stretch: Tensor) -> Tensor:
    reciprocal = 2.0 * math.pi * torch.linalg.inv(cell).T
    shortest = (2.0 * math.pi / ewald.resolution) ** 2 * (1.0 + _AT_BOUND)
    most = [int(length / ewald.resolution * (1.0 + _AT_BOUND)) for length in torch.linalg.norm(cell, dim=1).tolist()]
    axes = [torch.arange(-n, n + 1, dtype=torch.float64) for n in most]
    multiples = torch.cartesian_prod(*axes)
    lengths = (multiples @ reciprocal).square().sum(1)
    multiples = multiples[(lengths <= shortest) & (multiples != 0).any(1)]
    k = multiples @ (2.0 * math.pi * torch.linalg.inv(cell @ stretch).T)
    squares = k.square().sum(1)
    weights = torch.exp(-0.5 * ewald.sigma**2 * squares) / squares
    phases = x @ k.T
    structure = (q @ torch.cos(phases)).square() + (q @ torch.sin(phases)).square()
    energy = ewald.strength / torch.linalg.det(cell @ stretch).abs() * (weights * structure).sum()
    return energy if ewald.has_self_interaction else energy - _self_energy(ewald, q)
