"""Neighbour graphs of ``ase.Atoms``: the arrays that a model takes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.voigt import VOIGT_INDICES, voigt_of


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
    volume
        Of the cell, angstrom^3; None without three cell vectors or a periodic direction.
    """

    atomic_numbers: NDArray[np.int64]
    edge_vectors: NDArray[np.float64]
    edge_centre: NDArray[np.int64]
    edge_neighbour: NDArray[np.int64]
    volume: float | None = None

    @property
    def n_atoms(self) -> int:
        return len(self.atomic_numbers)

    @property
    def n_edges(self) -> int:
        return len(self.edge_centre)


def build_graph(atoms: Atoms, cutoff: float) -> Graph:
    """Return the graph of ``atoms``: every pair closer than ``cutoff`` (angstrom), both directions, all images.

    Raises
    ------
    UserInputError
        If two atoms lie at the same place, a position is not finite, or a periodic direction has no cell vector.

    Notes
    -----
    Atoms may lie outside the cell. An atom is a neighbour of its own images, not of itself.
    """
    _check(atoms)
    i, j, vectors, distances = _pairs(atoms, cutoff)
    if len(distances) and distances.min() == 0.0:
        pair = int(np.argmin(distances))
        raise UserInputError(f"atoms {i[pair]} and {j[pair]} (from 0) lie at the same place; move or remove one")
    kept = np.flatnonzero(distances < cutoff)
    order = kept[np.argsort((i * len(atoms) + j)[kept])]  # several times as fast as lexsort
    return Graph(
        atomic_numbers=np.array(atoms.numbers, dtype=np.int64),
        edge_vectors=np.ascontiguousarray(vectors[order], dtype=np.float64),
        edge_centre=np.ascontiguousarray(i[order], dtype=np.int64),
        edge_neighbour=np.ascontiguousarray(j[order], dtype=np.int64),
        volume=abs(atoms.cell.volume) if atoms.pbc.any() and atoms.cell.rank == 3 else None,
    )


def join_graphs(graphs: Sequence[Graph]) -> Graph:
    """Return one graph of all atoms, those of each graph after those of the one before, with no edge between graphs."""
    starts = np.cumsum([0, *(graph.n_atoms for graph in graphs)])
    return Graph(
        atomic_numbers=np.concatenate([np.zeros(0, np.int64), *(graph.atomic_numbers for graph in graphs)]),
        edge_vectors=np.concatenate([np.zeros((0, 3)), *(graph.edge_vectors for graph in graphs)]),
        edge_centre=_shifted([graph.edge_centre for graph in graphs], starts),
        edge_neighbour=_shifted([graph.edge_neighbour for graph in graphs], starts),
    )


def _shifted(indices: Sequence[NDArray[np.int64]], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    shifted = [own + start for own, start in zip(indices, starts, strict=False)]
    return np.concatenate([np.zeros(0, np.int64), *shifted])


def _pairs(atoms: Atoms, cutoff: float) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return i, j, x_j - x_i and its length of every pair, in no order."""
    if len(atoms) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)), np.zeros(0)
    from vesin import NeighborList  # imports torch where it is installed; a rank of LAMMPS does without

    neighbours = NeighborList(cutoff=cutoff, full_list=True)
    i, j, vectors, distances = neighbours.compute(
        points=atoms.positions, box=_box(atoms), periodic=np.asarray(atoms.pbc), quantities="ijDd"
    )
    return i.astype(np.int64), j.astype(np.int64), vectors, distances


def _check(atoms: Atoms) -> None:
    if not np.isfinite(atoms.positions).all():
        atom = int(np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))[0])
        raise UserInputError(f"the position of atom {atom} (from 0) is not finite; mend the structure")
    lengths = atoms.cell.lengths()
    if (lengths[atoms.pbc] == 0.0).any() or (atoms.pbc.all() and atoms.cell.rank < 3):
        raise UserInputError("the structure is periodic in a direction without a cell vector; set its cell or its pbc")


def _box(atoms: Atoms) -> NDArray[np.float64]:
    """Return the cell with missing directions filled in, as a neighbour list needs it."""
    return np.asarray(atoms.cell.complete())


def forces_from_gradients(graph: Graph, edge_gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return forces in eV/angstrom, shape (n_atoms, 3), from g_ij = dE / d r_ij, shape (n_edges, 3).

    Notes
    -----
    The force on i gains g_ij and that on j loses it.
    """
    forces = np.empty((graph.n_atoms, 3))
    for k in range(3):
        gained = np.bincount(graph.edge_centre, weights=edge_gradients[:, k], minlength=graph.n_atoms)
        lost = np.bincount(graph.edge_neighbour, weights=edge_gradients[:, k], minlength=graph.n_atoms)
        forces[:, k] = gained - lost
    return forces


def centroid_virials_from_moments(
    graph: Graph, edge_gradients: NDArray[np.float64], edge_moments: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return sum_i (x_i - x_n) (x) dU_i/dx_n of every atom n, eV, shape (n_atoms, 3, 3).

    Parameters
    ----------
    edge_gradients
        g = dE/dr_ij, shape (n_edges, 3).
    edge_moments
        M = sum_k (x_k - x_i) (x) dU_k/dr_ij, shape (n_edges, 3, 3): W_j gains M - r_ij (x) g, W_i loses M.
    """
    virials = np.zeros((graph.n_atoms, 3, 3))
    np.subtract.at(virials, graph.edge_centre, edge_moments)
    np.add.at(virials, graph.edge_neighbour, edge_moments - graph.edge_vectors[:, :, None] * edge_gradients[:, None, :])
    return virials


def atom_virials_from_gradients(graph: Graph, edge_gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return virials of atoms, eV, shape (n_atoms, 6), Voigt order xx yy zz yz xz xy, positive in tension.

    Notes
    -----
    Half of the symmetric part of r_ij (x) g_ij goes to i and half to j, as in ``compute stress/atom`` of LAMMPS; the
    sum over atoms is the virial.
    """
    tensors = graph.edge_vectors[:, :, None] * edge_gradients[:, None, :]
    rows, columns = VOIGT_INDICES
    components = 0.25 * (tensors + tensors.transpose(0, 2, 1))[:, rows, columns]
    virials = np.empty((graph.n_atoms, 6))
    for k in range(6):
        of_centres = np.bincount(graph.edge_centre, weights=components[:, k], minlength=graph.n_atoms)
        of_neighbours = np.bincount(graph.edge_neighbour, weights=components[:, k], minlength=graph.n_atoms)
        virials[:, k] = of_centres + of_neighbours
    return virials


def virial_from_gradients(graph: Graph, edge_gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sum of r_ij (x) g_ij: eV, shape (6,), Voigt order xx yy zz yz xz xy, positive in tension."""
    tensor = graph.edge_vectors.T @ edge_gradients
    return voigt_of(0.5 * (tensor + tensor.T))
