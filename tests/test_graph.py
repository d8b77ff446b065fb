"""The neighbour graph against ``ase.neighborlist``, an independent implementation."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic, smaller_than_cutoff, water_box
from mlip_lammps.testing.tolerances import EDGE_VECTOR

CUTOFF = 4.3


def _rows(centre: np.ndarray, neighbour: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    rows = np.column_stack([centre, neighbour, vectors])
    return rows[np.lexsort(np.round(rows, 6).T[::-1])]


def _assert_same_as_ase(atoms: Atoms, cutoff: float) -> Graph:
    graph = build_graph(atoms, cutoff)
    expected = _rows(*neighbor_list("ijD", atoms, cutoff))
    found = _rows(graph.edge_centre, graph.edge_neighbour, graph.edge_vectors)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=EDGE_VECTOR)
    assert (np.diff(graph.edge_centre) >= 0).all()
    assert graph.edge_vectors.dtype == np.float64
    assert graph.edge_centre.dtype == graph.edge_neighbour.dtype == np.int64
    return graph


@pytest.mark.parametrize("pbc", [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)])
@pytest.mark.parametrize("make", [rattled_triclinic, smaller_than_cutoff])
def test_graph_equals_ase_for_every_mix_of_periodic_directions(make, pbc):
    atoms = make(["H", "O"], seed=3)
    atoms.pbc = pbc
    graph = _assert_same_as_ase(atoms, CUTOFF)
    assert graph.n_edges > 0


def test_graph_of_a_cell_far_smaller_than_the_cutoff_has_every_image():
    atoms = smaller_than_cutoff(["Si"], seed=1)
    graph = _assert_same_as_ase(atoms, 9.7)
    assert graph.n_edges > 300
    assert (graph.edge_centre == graph.edge_neighbour).any()


def test_graph_does_not_depend_on_wrapping():
    inside = rattled_triclinic(["H", "O"], seed=2)
    outside = inside.copy()
    shifts = np.random.default_rng(0).integers(-3, 4, size=(len(inside), 3))
    outside.positions += shifts @ inside.cell[:]
    _assert_same_as_ase(outside, CUTOFF)
    a, b = build_graph(inside, CUTOFF), build_graph(outside, CUTOFF)
    rows = [_rows(graph.edge_centre, graph.edge_neighbour, graph.edge_vectors) for graph in (a, b)]
    np.testing.assert_allclose(rows[0], rows[1], rtol=0, atol=EDGE_VECTOR)


@pytest.mark.parametrize("cell", [None, [[30.0, 0.0, 0.0], [3.0, 28.0, 0.0], [1.0, -2.0, 31.0]]])
def test_graph_of_a_molecule_equals_ase_with_and_without_a_cell(cell):
    atoms = isolated_molecule(["H", "O"], seed=5)
    atoms.pbc, atoms.cell = False, cell
    atoms.positions -= 40.0
    graph = _assert_same_as_ase(atoms, CUTOFF)
    assert graph.n_edges > 0


def test_graph_of_a_left_handed_cell_equals_ase():
    atoms = rattled_triclinic(["H", "O"], seed=4)
    atoms.set_cell(atoms.cell[[1, 0, 2]])
    _assert_same_as_ase(atoms, CUTOFF)


def test_graph_of_water_equals_ase():
    _assert_same_as_ase(water_box((2, 2, 2), seed=1), CUTOFF)


@pytest.mark.parametrize("atoms", [Atoms("O"), Atoms(), Atoms("OH", positions=[[0, 0, 0], [0, 0, 9]])], ids=len)
def test_graph_without_edges_has_empty_arrays(atoms):
    graph = build_graph(atoms, CUTOFF)
    assert graph.n_atoms == len(atoms)
    assert graph.n_edges == 0
    assert graph.edge_vectors.shape == (0, 3)


def test_every_edge_has_its_reverse():
    graph = build_graph(rattled_triclinic(["H", "O"], seed=6), CUTOFF)
    forward = _rows(graph.edge_centre, graph.edge_neighbour, graph.edge_vectors)
    backward = _rows(graph.edge_neighbour, graph.edge_centre, -graph.edge_vectors)
    np.testing.assert_allclose(forward, backward, rtol=0, atol=EDGE_VECTOR)


@pytest.mark.parametrize(
    ("atoms", "words"),
    [
        (Atoms("HO", positions=[[1, 1, 1], [1, 1, 1]]), "same position"),
        (Atoms("HO", positions=[[1, 1, 1], [1, np.nan, 1]]), "atom 1 .* not finite"),
        (Atoms("H", pbc=True), "no cell vector"),
        (Atoms("H", cell=[5, 5, 0], pbc=(True, False, True)), "no cell vector"),
    ],
)
def test_structures_without_a_graph_are_refused(atoms, words):
    with pytest.raises(UserInputError, match=words):
        build_graph(atoms, CUTOFF)
