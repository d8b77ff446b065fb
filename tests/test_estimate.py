"""Estimates of memory, which grows with the arrays, and of time, which grows with the atoms per rank."""

import pytest
from ase import Atoms

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.workflows.estimate import close_packing, estimate_run, lammps_peak_bytes


@pytest.fixture(scope="module")
def model(compile_once):
    return compile_once("two_layers")


def test_memory_beyond_the_fixed_part_grows_with_the_atoms(model):
    small, large = (estimate_run(model, n) for n in (10_000, 80_000))
    growth = (large.rank_bytes - large.fixed_bytes) / (small.rank_bytes - small.fixed_bytes)
    assert 5.0 < growth < 8.0, growth  # the number of ghosts grows with the surface
    assert large.n_ghost < 8 * small.n_ghost


def test_the_memory_estimate_is_within_a_quarter_of_lammps(model):
    atoms = close_packing(("H", "O")).repeat(8)  # 16,384 atoms
    measured = lammps_peak_bytes(model, atoms, CompiledModel(model, n_threads=1).elements)
    estimate = estimate_run(model, len(atoms))
    assert 0.8 < estimate.rank_bytes / measured < 1.25, (estimate, measured)
    of_atoms = (estimate.rank_bytes - estimate.fixed_bytes) / (measured - estimate.fixed_bytes)
    assert 0.5 < of_atoms < 2.0, (estimate, measured)


def test_ranks_share_time_and_atoms(model):
    one, four = estimate_run(model, 4_000), estimate_run(model, 4_000, 4)
    assert four.n_owned == 1_000
    assert four.seconds_per_step == pytest.approx(1e-6 * four.microseconds_per_atom * 1_000)
    assert one.seconds_per_step == pytest.approx(1e-6 * one.microseconds_per_atom * 4_000)


def test_neighbours_are_those_of_the_given_structure(model):
    atoms = rattled_triclinic(("H", "O"), repeat=(2, 2, 3), seed=4)
    assert estimate_run(model, 100, structure=atoms).neighbours != estimate_run(model, 100).neighbours


def test_a_close_packed_structure_has_twelve_nearest_neighbours():
    atoms = close_packing(("Ni",))
    distances = sorted(atoms.get_distances(0, range(1, len(atoms)), mic=True))
    assert distances[11] < 1.25 * distances[0] < distances[12]


def test_bad_numbers_and_molecules_are_refused(model):
    with pytest.raises(UserInputError, match="the number of atoms is 0; give a whole number of 1 or more"):
        estimate_run(model, 0)
    with pytest.raises(UserInputError, match="not periodic"):
        estimate_run(model, 10, structure=Atoms("OH2", positions=[[0, 0, 0], [1, 0, 0], [0, 1, 0]]))


def test_the_command_shows_memory_and_time(model, capsys):
    assert main(["estimate", str(model), "--atoms", "1000", "--ranks", "2"]) == 0
    shown = capsys.readouterr().out
    assert "500 owned" in shown
    assert "time per step" in shown
    assert "within the cutoff, in a dense packing; for those of your material give --structure FILE" in shown
    assert main(["estimate", str(model), "--atoms", "10", "--structure", "no-such-file.xyz"]) == 2
