"""Angles are the pairs of edges of one centre."""

from itertools import combinations

import numpy as np

from mlip_lammps.structure.angles import angles_of


def test_each_pair_of_short_edges_of_a_centre_is_listed_once():
    rng = np.random.default_rng(5)
    centres = np.sort(rng.integers(0, 6, size=40))
    vectors = rng.normal(size=(40, 3))
    short = np.linalg.norm(vectors, axis=1) < 1.5
    expected = {(a, b) for a, b in combinations(range(40), 2) if centres[a] == centres[b] and short[a] and short[b]}
    found = angles_of(centres, vectors, 1.5)
    assert 0 < len(expected) < 40 * 39 / 2
    assert len(found) == len(expected)
    assert set(map(tuple, found.tolist())) == expected


def test_without_two_short_edges_there_is_no_angle():
    assert angles_of(np.array([0, 1, 1]), np.eye(3) * [[1.0], [1.0], [2.0]], 1.5).shape == (0, 2)
    assert angles_of(np.zeros(0, dtype=np.int64), np.zeros((0, 3)), 1.5).shape == (0, 2)
