"""The features that atoms with bonds send to their neighbours."""

import torch
from torch import Tensor

from mlip_lammps.families.bond_graph.bonds import MAX_BONDS
from mlip_lammps.kernels.torch.rows import select_rows

_SAME_VECTOR = 1e-2
"""Angstrom. Vectors of one bond differ by rounding to float32; those of two bonds by the distance of two atoms."""


class BondFeatures:
    """Layout of the features of an atom: blocks of equal width.

    The first blocks are what all neighbours read. Each further block is a bond: its sums over angles, and its vector.

    Parameters
    ----------
    own_width
        Number of features for all neighbours.
    bond_width
        Number of sums of a bond.
    """

    def __init__(self, own_width: int, bond_width: int):
        self._own_width, self._bond_width = own_width, bond_width
        self._block = bond_width + 3
        self._n_own = -(-own_width // self._block)
        self.width = self._block * (self._n_own + MAX_BONDS)

    def join(self, own: Tensor, bonds: Tensor) -> Tensor:
        """Return features of shape (n_local, width).

        Parameters
        ----------
        own
            Shape (n_local, own_width).
        bonds
            Sums and vectors, shape (n_local * MAX_BONDS, bond_width + 3).
        """
        own = torch.nn.functional.pad(own, (0, self._n_own * self._block - self._own_width))
        return torch.cat([own, bonds.reshape(own.shape[0], MAX_BONDS * self._block)], dim=1)

    def own(self, features: Tensor) -> Tensor:
        """Return the features for all neighbours, shape (n_nodes, own_width)."""
        return features[:, : self._own_width]

    def reverse_sums(self, features: Tensor, nodes: Tensor, vectors: Tensor) -> Tensor:
        """Return the sums of the bonds of some nodes whose vectors are the opposite, shape (n, bond_width).

        They are zero where there is none: rounding decides about bonds at the cutoff, where sums vanish.
        """
        n_blocks = self._n_own + MAX_BONDS
        blocks = features.view(-1, n_blocks, self._block)
        candidates = blocks[:, self._n_own :, -3:].detach().index_select(0, nodes).to(vectors.dtype)
        apart = (candidates + vectors.detach()[:, None, :]).square().sum(dim=2)
        least, place = apart.min(dim=1)
        rows = nodes * n_blocks + self._n_own + place
        sums = select_rows(blocks.view(-1, self._block)[:, : self._bond_width], rows)
        return sums * (least < _SAME_VECTOR**2)[:, None].to(sums.dtype)
