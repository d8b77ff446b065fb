"""CHGNet potentials of MatGL: read as data, exact against MatGL, and the same in LAMMPS on several ranks."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from lammps_deck import assert_results_agree, deck, pair_coeff, read_results
from lammps_run import error_line, run_lammps
from lammps_structures import expected_results, write_data
from package_files import (
    FOLDER,
    assert_equals_package,
    assert_lammps_equals,
    reading_imports_torch,
    stored_results,
)

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model
from mlip_lammps.compilation.consistency import check_ranks
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import family_of, read_model
from mlip_lammps.families.chain import EdgeGraph
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.structure.angles import angles_of
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

MODELS = ("norm", "plain", "hidden_norms", "with_dgl")
ELEMENTS = ("H", "O")
STRUCTURES = {
    "triclinic": rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), spacing=2.1, seed=2),
    "molecule in a corner": isolated_molecule(ELEMENTS),
    "far apart": Atoms("HO", positions=[[1, 1, 1], [9, 9, 9]], cell=[20, 20, 20], pbc=True),
    "one atom": Atoms("O", positions=[[1, 1, 1]], cell=[20, 20, 20], pbc=True),
}
DENSE = rattled_triclinic(ELEMENTS, repeat=(5, 5, 5), spacing=1.1, rattle=0.02, seed=1)
"""Atoms with more bonds than a row has."""
TOO_MANY = r"an atom of [HO] has more than 40 neighbours within 2\.6 A, the most that this model takes"


def folder_of(name: str) -> Path:
    return FOLDER / "matgl_chgnet" / name


def reference_of(name: str):
    trained = read_model(folder_of(name))
    return family_of(trained).reference(trained)


def results_of_matgl(name: str) -> list[tuple[Atoms, dict[str, np.ndarray]]]:
    return stored_results(FOLDER / "matgl_chgnet" / f"{name}.npz")


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_gives_the_results_of_matgl(name):
    reference, results = reference_of(name), results_of_matgl(name)
    assert len(results) == (2 if name == "with_dgl" else 3)
    for atoms, expected in results:
        found = reference.evaluate(atoms)
        assert_equals_package(found, atoms, expected)
        assert ("magmoms" in expected) == ("magmoms" in found.node_properties) == (name != "plain")
        if "magmoms" in expected:
            np.testing.assert_allclose(found.node_properties["magmoms"], expected["magmoms"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float64", "mixed"])
@pytest.mark.parametrize("structure", [0, 1, -1], ids=["triclinic", "cluster", "own images"])
def test_the_layers_equal_the_reference(name, dtype, structure):
    """Without compilation, and with the layers one after the other on all atoms."""
    trained = read_model(folder_of(name))
    atoms = results_of_matgl("norm")[structure][0]
    layers = family_of(trained).layers(trained, trained.atomic_numbers)
    chain, reference = layers.chain(dtype, layers.operators("torch", dtype, "exact", Path())), reference_of(name)
    edges = build_graph(atoms, layers.cutoff)
    pairs = torch.from_numpy(angles_of(edges.edge_centre, edges.edge_vectors, layers.angle_cutoff))
    species, centre, neighbour = (
        torch.from_numpy(one)
        for one in (reference.species_of(edges.atomic_numbers), edges.edge_centre, edges.edge_neighbour)
    )
    vectors = torch.from_numpy(edges.edge_vectors).requires_grad_(True)
    features = skips = None
    for t in range(1, layers.n_layers + 1):
        of_all, of_edges = (species, None) if t == 1 else (None, species[neighbour])
        graph = EdgeGraph(species, vectors, centre, neighbour, of_all, of_edges, angle_edges=pairs)
        handed, energies = chain.layer(t, graph, features, skips)
        features, skips = handed.get(f"features_{t}"), handed.get(f"skips_{t}")
        if t < layers.n_layers:
            assert (features.shape[1], skips.shape[1]) == (layers.feature_widths[t - 1], layers.skip_widths[t - 1])
    (gradients,) = torch.autograd.grad(energies.sum(), vectors)
    expected = reference.evaluate(atoms)
    scale = max(1.0, np.abs(expected.edge_gradients).max())
    limit = (1e-11 if dtype == "float64" else 1e-4) * scale
    np.testing.assert_allclose(energies.detach().numpy(), expected.node_energies, rtol=0, atol=limit)
    np.testing.assert_allclose(gradients.numpy(), expected.edge_gradients, rtol=0, atol=limit)
    if layers.node_properties:
        moments = handed["node_properties"].detach().numpy()[:, 0]
        np.testing.assert_allclose(moments, expected.node_properties["magmoms"], rtol=0, atol=limit)


@pytest.mark.parametrize("name", MODELS)
def test_two_ranks_give_the_results_of_one(name, tmp_path):
    trained = read_model(folder_of(name))
    check_ranks(family_of(trained).layers(trained, trained.atomic_numbers[:8]), tmp_path)
