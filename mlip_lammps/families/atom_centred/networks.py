"""Networks that differ by element: each one runs for the atoms of its element only."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


_PADDING = 2
"""Rows that are added for each element: torch compiles products for 0 and 1 rows apart."""


def energies_by_element(
    networks: Sequence[Callable[[Tensor], Tensor]], inputs: Tensor, species: Tensor
) -> Tensor:
    """Return atomic energies, shape (n_atoms,), float64.

    Parameters
    ----------
    networks
        For each element, the energies, shape (n,), of atoms with the inputs (n, n_inputs).
    inputs
        Inputs of all atoms, shape (n_atoms, n_inputs).
    species
        Rows of the element table, shape (n_atoms,).
    """
    energies = torch.zeros_like(species, dtype=torch.float64)
    for row, network in enumerate(networks):
        atoms = (species == row).nonzero()[:, 0]
        padded = torch.cat([atoms, torch.zeros(_PADDING, dtype=torch.int64)])
        found = network(inputs.index_select(0, padded))[: atoms.shape[0]]
        energies = energies.index_add(0, atoms, found.to(torch.float64))
    return energies
