"""Angles: pairs of edges of one centre."""

import numpy as np
from numpy.typing import NDArray


def angles_of(
    edge_centre: NDArray[np.int64], edge_vectors: NDArray[np.float64], cutoff: float
) -> NDArray[np.int64]:
    """Return the pairs of edges of one centre that are shorter than a cutoff, each pair once.

    Parameters
    ----------
    edge_centre
        Centres in ascending order, shape (n_edges,).
    edge_vectors
        Vectors in angstrom, shape (n_edges, 3).
    cutoff
        Cutoff in angstrom.

    Returns
    -------
    ndarray
        Indices of the edges, the first before the second, shape (n_angles, 2).
    """
    close = np.flatnonzero(np.linalg.norm(edge_vectors, axis=1) < cutoff)
    ends = np.searchsorted(edge_centre[close], edge_centre[close], side="right")
    n_after = ends - np.arange(len(close)) - 1
    first = np.repeat(np.arange(len(close)), n_after)
    starts = np.repeat(np.cumsum(n_after) - n_after, n_after)
    second = first + 1 + np.arange(len(first)) - starts
    return np.stack([close[first], close[second]], axis=1)
