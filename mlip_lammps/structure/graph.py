"""Neighbour graphs of ``ase.Atoms``: the input arrays of a model."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_instance, require_positive
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.structure.voigt import VOIGT_INDICES, voigt_of


@dataclass(frozen=True)
class Graph:
    """Directed edges within a cutoff, sorted by centre.

    Attributes
    ----------
    atomic_numbers
        Atomic numbers, shape (n_atoms,), int64.
    edge_vectors
        Vectors r_ij = x_j - x_i in angstrom to the periodic image of j, shape (n_edges, 3), float64.
    edge_centre, edge_neighbour
        Indices i and j, shape (n_edges,), int64; ``edge_centre`` is in ascending order.
    volume
        Cell volume in angstrom^3; None without three cell vectors or without a periodic direction.
    global_inputs
        Total charge and spin as far as the structure has them, see ``GlobalInput``.
    positions
        Positions in angstrom, shape (n_atoms, 3); None if the graph is not that of one structure.
    cell, periodic
        Cell vectors in angstrom, shape (3, 3), and whether each is a period; None like ``positions``.
    """

    atomic_numbers: NDArray[np.int64]
    edge_vectors: NDArray[np.float64]
    edge_centre: NDArray[np.int64]
    edge_neighbour: NDArray[np.int64]
    volume: float | None = None
    global_inputs: Mapping[str, Any] = field(default_factory=dict)
    positions: NDArray[np.float64] | None = None
    cell: NDArray[np.float64] | None = None
    periodic: tuple[bool, bool, bool] | None = None

    @property
    def n_atoms(self) -> int:
        return len(self.atomic_numbers)

    @property
    def n_edges(self) -> int:
        return len(self.edge_centre)


def build_graph(atoms: Atoms, cutoff: float) -> Graph:
    """Return the graph of ``atoms``: all pairs closer than ``cutoff`` (angstrom), in both directions, with all images.

    Raises
    ------
    UserInputError
        If two atoms have the same position, a position is not finite, a periodic direction has no cell vector, or an
        argument is invalid.

    Notes
    -----
    Atoms may lie outside the cell. An atom can be a neighbour of its own images, but not of itself.
    """
    require_instance("atoms", atoms, Atoms, "an ase.Atoms object")
    require_positive("cutoff", cutoff)
    _check(atoms)
    i, j, vectors, distances = pairs_within(atoms, cutoff)
    if len(distances) and distances.min() == 0.0:
        pair = int(np.argmin(distances))
        raise UserInputError(
            f"atoms {i[pair]} and {j[pair]} (counted from 0) have the same position; move or remove one of them"
        )
    kept = np.flatnonzero(distances < cutoff)
    order = kept[np.argsort((i * len(atoms) + j)[kept])]  # several times faster than lexsort
    return Graph(
        atomic_numbers=np.array(atoms.numbers, dtype=np.int64),
        edge_vectors=np.ascontiguousarray(vectors[order], dtype=np.float64),
        edge_centre=np.ascontiguousarray(i[order], dtype=np.int64),
        edge_neighbour=np.ascontiguousarray(j[order], dtype=np.int64),
        volume=abs(atoms.cell.volume) if atoms.pbc.any() and atoms.cell.rank == 3 else None,
        global_inputs=global_inputs_in(atoms.info),
        positions=np.array(atoms.positions, dtype=np.float64),
        cell=np.array(atoms.cell[:], dtype=np.float64),
        periodic=tuple(bool(one) for one in atoms.pbc),
    )


def join_graphs(graphs: Sequence[Graph]) -> Graph:
    """Return one graph with the atoms and edges of all graphs, in order, and no edges between graphs.

    Their global inputs are those of the first graph.
    """
    starts = np.cumsum([0, *(graph.n_atoms for graph in graphs)])
    return Graph(
        atomic_numbers=np.concatenate([np.zeros(0, np.int64), *(graph.atomic_numbers for graph in graphs)]),
        edge_vectors=np.concatenate([np.zeros((0, 3)), *(graph.edge_vectors for graph in graphs)]),
        edge_centre=_shifted([graph.edge_centre for graph in graphs], starts),
        edge_neighbour=_shifted([graph.edge_neighbour for graph in graphs], starts),
        global_inputs=graphs[0].global_inputs if graphs else {},
    )


def _shifted(indices: Sequence[NDArray[np.int64]], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    shifted = [own + start for own, start in zip(indices, starts, strict=False)]
    return np.concatenate([np.zeros(0, np.int64), *shifted])


def pairs_within(atoms: Atoms, cutoff: float) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Return i, j, x_j - x_i and its length for all pairs up to ``cutoff`` (angstrom), both directions, unsorted."""
    if len(atoms) == 0:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros((0, 3)), np.zeros(0)
    from vesin import NeighborList  # imports torch if installed, which a LAMMPS rank avoids

    neighbours = NeighborList(cutoff=cutoff, full_list=True)
    i, j, vectors, distances = neighbours.compute(
        points=atoms.positions, box=_box(atoms), periodic=np.asarray(atoms.pbc), quantities="ijDd"
    )
    return i.astype(np.int64), j.astype(np.int64), vectors, distances


def import_vesin_without_torch() -> None:
    """Import vesin without torch, which it imports if it can; this program then starts a second earlier.

    For programs of this package: vesin refuses tensors of torch afterwards. Torch can still be imported.
    """
    if "torch" in sys.modules:
        return
    sys.modules["torch"] = None
    try:
        import vesin  # noqa: F401
    finally:
        del sys.modules["torch"]


def _check(atoms: Atoms) -> None:
    if not np.isfinite(atoms.positions).all():
        atom = int(np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))[0])
        raise UserInputError(
            f"the position of atom {atom} (counted from 0) is {atoms.positions[atom]}, which is not finite; "
            "correct the structure"
        )
    lengths = atoms.cell.lengths()
    if (lengths[atoms.pbc] == 0.0).any() or (atoms.pbc.all() and atoms.cell.rank < 3):
        raise UserInputError(
            f"the structure has pbc {atoms.pbc.tolist()}, but a periodic direction has no cell vector; "
            "set its cell or its pbc"
        )


def _box(atoms: Atoms) -> NDArray[np.float64]:
    """Return the cell with missing vectors completed, as the neighbour list requires."""
    return np.asarray(atoms.cell.complete())


def forces_from_gradients(graph: Graph, edge_gradients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return forces in eV/angstrom, shape (n_atoms, 3), from g_ij = dE / d r_ij, shape (n_edges, 3).

    Notes
    -----
    Each edge adds g_ij to the force on i and subtracts it from the force on j.
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
    """Return the per-atom virials W_n = sum_i (x_i - x_n) (x) dU_i/dx_n in eV, shape (n_atoms, 3, 3).

    Parameters
    ----------
    edge_gradients
        g = dE/dr_ij in eV/angstrom, shape (n_edges, 3).
    edge_moments
        M = sum_k (x_k - x_i) (x) dU_k/dr_ij in eV, shape (n_edges, 3, 3).

    Notes
    -----
    Each edge adds M - r_ij (x) g to W_j and subtracts M from W_i.
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
    """Return the virial, the sum of r_ij (x) g_ij, in eV, shape (6,), order xx yy zz yz xz xy, positive in tension."""
    tensor = graph.edge_vectors.T @ edge_gradients
    return voigt_of(0.5 * (tensor + tensor.T))
