"""TensorNet potentials of MatGL: read as data, exact against MatGL, and the same in LAMMPS on several ranks."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
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
from mlip_lammps.families.tensornet.tensors import basis_matrices, matrix_product, symmetric_product
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

MODELS = ("smooth", "bessel", "gaussian", "version_1", "with_dgl")
COMPILED = ("smooth", "with_dgl")
"""One whose atoms send tensors, and one in a single layer with a repulsion."""
STRUCTURES = {
    "triclinic": rattled_triclinic(("H", "O"), repeat=(3, 3, 4), seed=2),
    "molecule in a corner": isolated_molecule(("H", "O")),
    "its own neighbour": Atoms("OH", positions=[[0, 0, 0], [1, 0.9, 1.1]], cell=[[2, 0, 0.1], [0.6, 2, 0], [0, 0.3, 2]], pbc=True),
    "far apart": Atoms("HO", positions=[[1, 1, 1], [9, 9, 9]], cell=[20, 20, 20], pbc=True),
    "one atom": Atoms("O", positions=[[1, 1, 1]], cell=[20, 20, 20], pbc=True),
}  # fmt: skip


def folder_of(name: str) -> Path:
    return FOLDER / "tensornet" / name


def reference_of(name: str):
    trained = read_model(folder_of(name))
    return family_of(trained).reference(trained)


def results_of_matgl(name: str) -> list[tuple[Atoms, dict[str, np.ndarray]]]:
    return stored_results(FOLDER / "tensornet" / f"{name}.npz")


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_gives_the_results_of_matgl(name):
    reference = reference_of(name)
    for atoms, expected in results_of_matgl(name):
        assert_equals_package(reference.evaluate(atoms), atoms, expected)


def test_products_of_components_are_those_of_matrices():
    torch.manual_seed(1)
    left, right = torch.randn(2, 4, 9, 3, dtype=torch.float64)
    basis = basis_matrices()
    torch.testing.assert_close(torch.einsum("aij,bij->ab", basis, basis), torch.eye(9, dtype=torch.float64))
    one, two = (torch.einsum("nac,aij->ncij", tensors, basis) for tensors in (left, right))
    for found, expected in ((matrix_product, one @ two), (symmetric_product, one @ two + two @ one)):
        torch.testing.assert_close(torch.einsum("nac,aij->ncij", found(left, right), basis), expected)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_the_layers_equal_the_reference(name, dtype):
    """Without compilation, and with the layers one after the other on all atoms."""
    trained, (atoms, _) = read_model(folder_of(name)), results_of_matgl(name)[0]
    layers = family_of(trained).layers(trained, trained.atomic_numbers)
    chain, reference = layers.chain(dtype, layers.operators("torch", dtype, "exact", Path())), reference_of(name)
    edges = build_graph(atoms, layers.cutoff)
    species, centre, neighbour = (
        torch.from_numpy(one)
        for one in (reference.species_of(edges.atomic_numbers), edges.edge_centre, edges.edge_neighbour)
    )
    vectors = torch.from_numpy(edges.edge_vectors).requires_grad_(True)
    graph = EdgeGraph(species, vectors, centre, neighbour, species, species[neighbour])
    features = skips = None
    total = 0.0
    for t in range(1, layers.n_layers + 1):
        handed, energies = chain.layer(t, graph, features, skips)
        total = total + energies
        features, skips = handed.get(f"features_{t}"), handed.get(f"skips_{t}")
    (gradients,) = torch.autograd.grad(total.sum(), vectors)
    expected = reference.evaluate(atoms)
    limit = 1e-10 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(total.detach().numpy(), expected.node_energies, rtol=0, atol=limit)
    np.testing.assert_allclose(gradients.numpy(), expected.edge_gradients, rtol=0, atol=limit)


@pytest.mark.parametrize("name", MODELS)
def test_two_ranks_give_the_results_of_one(name, tmp_path):
    trained = read_model(folder_of(name))
    check_ranks(family_of(trained).layers(trained, trained.atomic_numbers), tmp_path)
