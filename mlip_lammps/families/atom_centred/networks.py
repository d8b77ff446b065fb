"""Networks that differ by element."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def energies_by_element(networks: Sequence[Callable[[Tensor], Tensor]], inputs: Tensor, species: Tensor) -> Tensor:
    """Return atomic energies, shape (n_atoms,), in the precision of the networks.

    Parameters
    ----------
    networks
        For each element, the energies, shape (n_atoms,), of atoms with the inputs (n_atoms, n_inputs).
    inputs
        Inputs of all atoms, shape (n_atoms, n_inputs).
    species
        Rows of the element table, shape (n_atoms,).
    """
    energies = torch.stack(
        # of other atoms too, with inputs of zero, which keep all functions finite
        [network(torch.where((species == row)[:, None], inputs, 0.0)) for row, network in enumerate(networks)],
        dim=1,
    )
    return energies.gather(1, species[:, None])[:, 0]
