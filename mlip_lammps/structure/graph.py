"""Neighbour graphs of ``ase.Atoms``: the arrays that a model takes."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from vesin import NeighborList


@dataclass(frozen=True)
class Graph:
    """Directed edges inside a cutoff, sorted by centre.

    Attributes
    ----------
    atomic_numbers
        Shape (n_atoms,), int64.
    edge_vectors
        r_ij = x_j - x_i in angstrom with the periodic image of j, shape (n_edges, 3), float64.
    edge_centre, edge_neighbour
        i and j, shape (n_edges,), int64; ``edge_centre`` does not decrease.
    """

    atomic_numbers: NDArray[np.int64]
    edge_vectors: NDArray[np.float64]
    edge_centre: NDArray[np.int64]
    edge_neighbour: NDArray[np.int64]

    @property
    def n_atoms(self) -> int:
        return len(self.atomic_numbers)

    @property
    def n_edges(self) -> int:
        return len(self.edge_centre)


def build_graph(atoms: Atoms, cutoff: float) -> Graph:
    """Return the graph of ``atoms``: every pair within ``cutoff`` (angstrom), both directions, all images."""
    pbc = np.asarray(atoms.pbc)
    neighbours = NeighborList(cutoff=cutoff, full_list=True)
    i, j, vectors = neighbours.compute(
        points=atoms.positions, box=_box(atoms), periodic=pbc, quantities="ijD"
    )
    order = np.lexsort((j, i))
    return Graph(
        atomic_numbers=np.asarray(atoms.numbers, dtype=np.int64),
        edge_vectors=np.ascontiguousarray(vectors[order], dtype=np.float64),
        edge_centre=np.ascontiguousarray(i[order], dtype=np.int64),
        edge_neighbour=np.ascontiguousarray(j[order], dtype=np.int64),
    )


def _box(atoms: Atoms) -> NDArray[np.float64]:
    """Return the cell with directions that are missing or not periodic filled in, as a neighbour list needs it."""
    return np.asarray(atoms.cell.complete())
