"""Steps of a model that builds its own edge list, on the emulated device in this process, against the reference."""

import re

import numpy as np
import pytest
from ase import Atoms

from mlip_lammps.core.errors import MlipError, ModelFileError
from mlip_lammps.families.mace import MaceReference
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.emulated_gpu import ResidentModel, Step, write_emulated
from mlip_lammps.testing.random_models import random_model
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic, smaller_than_cutoff

# Models with moments of two elements in the first layer, and with pair repulsion.
MOMENTS = dict(hidden_irreps="33x0e", l_max=1, pair_repulsion=True)
_EDGES_AT_FIRST = 1 << 16
"""Initial size of the edge arrays: ``MIN_EDGES`` in ``pair_style/model/gpu/gpu_engine.cpp``."""


@pytest.fixture(scope="module")
def files(tmp_path_factory, trained_models):
    """Return trained models and emulated files by name."""
    folder = tmp_path_factory.mktemp("emulated")
    trained = {name: trained_models[name] for name in ("one_layer", "two_layers", "three_layers")} | {
        "moments": random_model(**MOMENTS)
    }
    return {name: (model, write_emulated(model, folder / f"{name}.pt2")) for name, model in trained.items()}


def assert_equals_the_reference(found: Step, trained, atoms: Atoms) -> None:
    """Raise unless energies, forces and virial agree with the reference in float64."""
    expected = MaceReference(trained).evaluate(atoms)
    limit = tolerances.EMULATED_GPU * max(1.0, np.abs(expected.forces).max(initial=0.0))
    np.testing.assert_allclose(found.node_energies, expected.node_energies, rtol=0, atol=tolerances.EMULATED_GPU)
    assert found.energy == pytest.approx(expected.energy, abs=len(atoms) * tolerances.EMULATED_GPU)
    np.testing.assert_allclose(found.forces, expected.forces, rtol=0, atol=limit)
    if expected.stress is not None:
        virial = -atoms.get_volume() * expected.stress[[0, 1, 2, 5, 4, 3]]
        np.testing.assert_allclose(found.virial, virial, rtol=0, atol=10 * len(atoms) * limit)


def structures(elements) -> dict[str, Atoms]:
    outside = rattled_triclinic(elements, repeat=(2, 2, 2), seed=5)
    outside.positions[::3] += 2 * outside.cell[0] - outside.cell[2]
    slab = rattled_triclinic(elements, repeat=(3, 2, 1), seed=6)
    slab.pbc = (True, True, False)
    far = isolated_molecule(elements, box=None)
    far.positions[0] += 500.0
    return {
        "more atoms than a scan takes at a time": rattled_triclinic(elements, repeat=(7, 7, 6), seed=1),
        "images of one atom": smaller_than_cutoff(elements),
        "atoms outside the cell": outside,
        "a slab": slab,
        "a cluster and an atom far away": far,
        "one element of several": rattled_triclinic(elements[-1:], repeat=(2, 2, 2), seed=7),
        "one atom": Atoms([elements[0]], positions=[[1.0, 2.0, 3.0]]),
    }


@pytest.mark.parametrize("name", ["two_layers", "three_layers", "moments"])
def test_steps_equal_the_reference_after_any_previous_step(name, files):
    trained, path = files[name]
    model = ResidentModel(path)
    for label, atoms in structures(model.metadata["elements"]).items():
        if name != "two_layers" and len(atoms) > 100:
            continue
        try:
            assert_equals_the_reference(model.step(atoms), trained, atoms)
        except AssertionError as error:
            raise AssertionError(f"{label}: {error}") from None


def test_zero_atoms_give_zero_energy(files):
    model = ResidentModel(files["two_layers"][1])
    for _ in range(2):
        found = model.step(Atoms())
        assert (found.energy, found.node_energies.size, found.closest) == (0.0, 0, None)
        np.testing.assert_array_equal(found.virial, 0.0)


def test_steps_without_new_lists_follow_the_atoms(files):
    """The second step records its launches, and later steps replay them."""
    trained, path = files["two_layers"]
    model, rng = ResidentModel(path), np.random.default_rng(3)
    atoms = rattled_triclinic(model.metadata["elements"], repeat=(3, 3, 2), seed=2)
    assert_equals_the_reference(model.step(atoms), trained, atoms)
    for _ in range(4):
        # four steps stay within half the skin
        atoms.positions += rng.uniform(-0.03, 0.03, size=(len(atoms), 3))
        assert_equals_the_reference(model.step(atoms, has_new_lists=False), trained, atoms)


def test_the_edge_arrays_grow_when_they_are_too_small(files):
    """Nearly all candidates move within the cutoff, which exceeds the size of the edge arrays."""
    trained, path = files["one_layer"]
    model = ResidentModel(path)
    atoms = rattled_triclinic(("Si",), repeat=(11, 11, 10), rattle=0.05, seed=2)
    atoms.pbc = False
    model.step(atoms, skin=4.0)
    atoms.positions *= 0.48
    n_edges = build_graph(atoms, model.metadata["cutoff"]).n_edges
    assert n_edges > 1.3 * _EDGES_AT_FIRST
    assert_equals_the_reference(model.step(atoms, skin=4.0, has_new_lists=False), trained, atoms)


def test_a_step_repeats_bit_for_bit(files):
    model = ResidentModel(files["three_layers"][1])
    elements = model.metadata["elements"]
    first = model.step(rattled_triclinic(elements, repeat=(2, 2, 3), seed=1))
    model.step(rattled_triclinic(elements, repeat=(3, 2, 3), seed=2))
    again = model.step(rattled_triclinic(elements, repeat=(2, 2, 3), seed=1))
    replayed = [
        model.step(rattled_triclinic(elements, repeat=(2, 2, 3), seed=1), has_new_lists=False) for _ in range(2)
    ]
    for other in (again, *replayed):
        assert other.energy == first.energy
        np.testing.assert_array_equal(other.forces, first.forces)
        np.testing.assert_array_equal(other.virial, first.virial)


@pytest.mark.parametrize("has_new_lists", [True, False])
def test_a_nan_position_shows_in_energy_and_forces(has_new_lists, files):
    model = ResidentModel(files["two_layers"][1])
    atoms = rattled_triclinic(model.metadata["elements"], repeat=(2, 2, 2), seed=1)
    model.step(atoms)
    atoms.positions[3, 1] = np.nan
    found = model.step(atoms, has_new_lists=has_new_lists)
    assert np.isnan(found.energy)
    assert np.isnan(found.node_energies[3])
    assert np.isnan(found.forces[3]).all()


def test_the_closest_pair_is_named_with_its_image(files):
    model = ResidentModel(files["two_layers"][1])
    atoms = rattled_triclinic(model.metadata["elements"], repeat=(2, 2, 2), rattle=0.05, seed=1)
    assert model.step(atoms).closest is None
    atoms.positions[5] = atoms.positions[2] + [0.3, 0.1, 0.0] + atoms.cell[1]
    atoms.positions[7] = atoms.positions[4] + [0.4, 0.2, 0.1]
    assert sorted(model.step(atoms).closest) == [2, 5]


def test_insufficient_memory_is_reported_with_the_number_of_atoms_that_fit(files, monkeypatch):
    monkeypatch.setenv("MLIP_LAMMPS_EMULATED_MEMORY", str(35_000_000))
    model = ResidentModel(files["two_layers"][1])
    small = rattled_triclinic(model.metadata["elements"], repeat=(2, 2, 2), seed=1)
    expected = model.step(small)
    large = rattled_triclinic(model.metadata["elements"], repeat=(12, 12, 12), seed=1)
    told = r"not enough GPU memory for 1728 atoms \(needs .* GB of .* GB\); about (\d+) would fit; use more GPUs"
    with pytest.raises(MlipError, match=told) as raised:
        model.step(large)
    np.testing.assert_array_equal(model.step(small).forces, expected.forces)

    n_layers = int(re.search(told, str(raised.value))[1]) // 144
    assert n_layers > 0, raised.value
    for count, has_room in ((n_layers, True), (2 * n_layers + 1, False)):
        block = rattled_triclinic(model.metadata["elements"], repeat=(12, 12, count), seed=1)
        if has_room:
            ResidentModel(files["two_layers"][1]).step(block)
            continue
        with pytest.raises(MlipError, match="not enough GPU memory"):
            ResidentModel(files["two_layers"][1]).step(block)


def test_a_cpu_file_builds_no_edge_list(compile_once):
    with pytest.raises(ModelFileError, match="is for a CPU"):
        ResidentModel(compile_once("two_layers"))
