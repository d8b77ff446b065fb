"""Networks that differ by element: each one runs for the atoms of its element only."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


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
    energies = torch.zeros(len(inputs), dtype=torch.float64)
    for row, network in enumerate(networks):
        atoms = (species == row).nonzero()[:, 0]
        energies = energies.index_add(0, atoms, network(inputs.index_select(0, atoms)).to(torch.float64))
    return energies
