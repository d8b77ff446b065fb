"""Edge moments, which determine the heat flux, against derivatives of each atomic energy."""

import numpy as np
import pytest
from ase import Atoms
from test_export import with_metadata

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.families.mace import MaceReference
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph, centroid_virials_from_moments
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.structures import rattled_triclinic

MODELS = ["one_layer", "two_layers", "three_layers"]


def cluster(elements: tuple[str, ...], seed: int) -> Atoms:
    atoms = rattled_triclinic(elements, repeat=(2, 2, 3), seed=seed)
    atoms.pbc = False
    atoms.positions += [30.0, -20.0, 10.0]  # the result must not depend on the position of the cluster
    return atoms


def centroid_virials(model: CompiledModel, atoms: Atoms) -> np.ndarray:
    graph = build_graph(atoms, model.cutoff)
    results = model.evaluate(graph, atoms.positions)
    return centroid_virials_from_moments(graph, results.edge_gradients, results.edge_moments)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("chunk_atoms", [None, 5])
def test_virials_of_atoms_equal_derivatives_of_all_energies(name, chunk_atoms, compile_once, trained_models, tmp_path):
    path = compile_once(name)
    if chunk_atoms is not None:
        path = with_metadata(path, tmp_path / "chunked.pt2", chunk_atoms=chunk_atoms)
    model = CompiledModel(path)
    atoms = cluster(model.elements, seed=2)
    expected = MaceReference(trained_models[name]).centroid_virials(atoms)
    np.testing.assert_allclose(centroid_virials(model, atoms), expected, rtol=0, atol=tolerances.LAMMPS_VIRIAL_PER_ATOM)


def test_gradients_without_moments_are_not_sufficient_beyond_one_layer(compile_once):
    for name, is_enough in (("one_layer", True), ("two_layers", False), ("three_layers", False)):
        model = CompiledModel(compile_once(name))
        atoms = cluster(model.elements, seed=2)
        moments = model.evaluate(build_graph(atoms, model.cutoff), atoms.positions).edge_moments
        assert (np.abs(moments).max() < 1e-12) == is_enough


def test_moments_in_single_precision_are_as_accurate_as_forces(compile_once, trained_models):
    model = CompiledModel(compile_once("two_layers", "mixed"))
    atoms = cluster(model.elements, seed=3)
    expected = MaceReference(trained_models["two_layers"]).centroid_virials(atoms)
    difference = np.abs(centroid_virials(model, atoms) - expected).max()
    assert 1e-10 < difference < tolerances.SINGLE_PRECISION_FORCE * np.abs(expected).max()


def test_an_evaluation_after_one_with_moments_is_not_changed(compile_once):
    model = CompiledModel(compile_once("three_layers"))
    atoms = cluster(model.elements, seed=4)
    graph = build_graph(atoms, model.cutoff)
    before, with_moments, after = (model.evaluate(graph, x) for x in (None, atoms.positions, None))
    for results in (with_moments, after):
        np.testing.assert_allclose(results.edge_gradients, before.edge_gradients, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(with_moments.node_energies, before.node_energies)
    assert after.edge_moments is None


@pytest.mark.parametrize("n_atoms", [0, 1, 2])
def test_the_smallest_clusters_have_moments(n_atoms, compile_once, trained_models):
    model = CompiledModel(compile_once("two_layers"))
    atoms = cluster(model.elements, seed=5)[:n_atoms]
    expected = MaceReference(trained_models["two_layers"]).centroid_virials(atoms)
    np.testing.assert_allclose(centroid_virials(model, atoms), expected, rtol=0, atol=tolerances.LAMMPS_VIRIAL_PER_ATOM)


def test_periodic_images_are_refused(compile_once, trained_models):
    model = CompiledModel(compile_once("one_layer"))
    atoms = rattled_triclinic(model.elements, seed=1)
    with pytest.raises(UserInputError, match="no periodic image"):
        model.evaluate(build_graph(atoms, model.cutoff), atoms.positions)
    with pytest.raises(UserInputError, match="the structure is periodic"):
        MaceReference(trained_models["one_layer"]).centroid_virials(atoms)
