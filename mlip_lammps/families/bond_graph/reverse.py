"""The reverse of each bond in a graph of all atoms."""

import numpy as np
import torch
from torch import Tensor

_SAME_VECTOR = 1e-6
"""Angstrom: rounding of the two vectors of a bond."""


def reverse_bonds(
    edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor, cutoff: float
) -> tuple[Tensor, Tensor]:
    """Return the edges shorter than a cutoff and the reverse of each of them."""
    vectors, centre, neighbour = edge_vectors.detach().numpy(), edge_centre.numpy(), edge_neighbour.numpy()
    bonds = np.flatnonzero(np.linalg.norm(vectors, axis=1) < cutoff)
    starts, ends = (np.searchsorted(centre[bonds], neighbour[bonds], side=side) for side in ("left", "right"))
    # all bonds of each neighbour are candidates
    n_candidates = ends - starts
    own = np.repeat(np.arange(len(bonds)), n_candidates)
    rank = np.arange(len(own)) - np.repeat(np.cumsum(n_candidates) - n_candidates, n_candidates)
    own, other = bonds[own], bonds[starts[own] + rank]
    apart = np.linalg.norm(vectors[own] + vectors[other], axis=1)
    is_reverse = (neighbour[other] == centre[own]) & (apart < _SAME_VECTOR)
    return torch.from_numpy(own[is_reverse]), torch.from_numpy(other[is_reverse])
