"""The model of a step on many ranks: ghosts as in LAMMPS, limits of large and small parts, halos that are repeated."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[1]))  # benchmarks are not part of the package

from benchmarks.scaling import measure
from benchmarks.scaling_model import MESSAGES, Network, Potential, neighbours_outside, recomputed, step
from mlip_lammps.compilation import compiled_model
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.workflows.estimate import SKIN, ghosts

DENSITY = 8.0 / 5.43**3
POTENTIAL = Potential("a", 1e-4, 0.0, (2048,), 6.0)
NETWORK = Network("b", 1e-6, 1e9)


@pytest.mark.parametrize("n_ranks", [1, 8])
def test_ghosts_of_a_rank_are_those_of_a_cube(n_ranks, tmp_path):
    model = compiled_model("silicon-pbe", dtype="float64")
    (run,) = measure(model, 4, n_ranks, 1, 0.01, tmp_path)
    expected = ghosts(run.n_atoms / n_ranks, DENSITY, read_metadata(model)["cutoff"] + SKIN)
    assert run.n_ghost == pytest.approx(expected, rel=0.15)  # a whole number of layers of the crystal


def test_a_large_part_is_all_compute_and_a_small_one_all_exchange():
    large, small = (step(POTENTIAL, NETWORK, n, DENSITY) for n in (1e9, 0.5))
    assert large.seconds == pytest.approx(1e9 * POTENTIAL.atom_seconds, rel=0.01)
    assert small.exchange > 5 * small.compute


def test_exchange_is_latency_and_bytes():
    one = step(POTENTIAL, NETWORK, 1000, DENSITY)
    assert one.bytes == one.n_ghost * (2 * 24 + 8) + neighbours_outside(1000, DENSITY, POTENTIAL.cutoff) * 2 * 2048
    assert one.exchange == pytest.approx(5 * MESSAGES * 1e-6 + one.bytes / 1e9)


def test_repeated_halos_compute_more_and_send_less():
    one, other = step(POTENTIAL, NETWORK, 1000, DENSITY), recomputed(POTENTIAL, NETWORK, 1000, DENSITY)
    assert other.compute > 1.5 * one.compute
    assert other.exchange < one.exchange


def test_neighbours_outside_a_cube_are_counted():
    rng = np.random.default_rng(0)
    density, side, cutoff = 0.05, 20.0, 6.0
    n_atoms = round(density * (side + 2.0 * cutoff) ** 3)
    places = rng.uniform(-cutoff, side + cutoff, size=(n_atoms, 3))
    distances = np.linalg.norm(places - places.clip(0.0, side), axis=1)
    counted = ((distances > 0.0) & (distances < cutoff)).sum()
    assert neighbours_outside(density * side**3, density, cutoff) == pytest.approx(counted, rel=0.05)


def test_ranks_start_from_the_same_state_and_send_less_than_the_law(tmp_path):
    model = compiled_model("silicon-pbe", dtype="float64")
    metadata = read_metadata(model)
    runs = {n_ranks: measure(model, 4, n_ranks, 1, 0.01, tmp_path)[0] for n_ranks in (1, 2, 4)}
    for n_ranks, run in runs.items():
        assert run.energy == pytest.approx(runs[1].energy, abs=1e-8)
        assert run.model + run.neighbours + run.communication <= 1.0
        features = tuple(8 * width for width in metadata["feature_widths"])
        law = step(Potential("a", 1e-4, 0.0, features, metadata["cutoff"]), NETWORK, run.n_atoms / n_ranks, DENSITY)
        assert 0.5 < 1e3 * run.sent_kb / (law.bytes - 48 * law.n_ghost) < 1.05
