"""TensorNet potentials of MatGL: read as data, exact against MatGL, and the same in LAMMPS on several ranks."""

import shutil

import numpy as np
import pytest
import torch
from ase import Atoms
from package_files import (
    StoredModels,
    assert_equals_package,
    assert_lammps_equals,
    reading_imports_torch,
)
from uncompiled import run_layers

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model
from mlip_lammps.compilation.consistency import check_ranks
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import family_of, read_model
from mlip_lammps.families.tensornet.tensors import basis_matrices, matrix_product, symmetric_product
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

STORED = StoredModels("tensornet")
MODELS = ("smooth", "bessel", "gaussian", "version_1", "with_dgl")
COMPILED = ("smooth", "with_dgl")
"""One whose atoms send tensors, and one in a single layer with a repulsion."""
STRUCTURES = {
    "triclinic": rattled_triclinic(("H", "O"), repeat=(3, 3, 4), seed=2),
    "molecule in a corner": isolated_molecule(("H", "O")),
    "its own neighbour": Atoms("OH", [[0, 0, 0], [1, 0.9, 1.1]], cell=[[2, 0, 0], [0.6, 2, 0], [0, 0.3, 2]], pbc=True),
    "far apart": Atoms("HO", positions=[[1, 1, 1], [9, 9, 9]], cell=[20, 20, 20], pbc=True),
    "one atom": Atoms("O", positions=[[1, 1, 1]], cell=[20, 20, 20], pbc=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_gives_the_results_of_matgl(name):
    reference = STORED.reference_of(name)
    for atoms, expected in STORED.results_of(name):
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
    reference, atoms = STORED.reference_of(name), STORED.results_of(name)[0][0]
    found = run_layers(STORED.layers_of(name), reference, atoms, dtype)
    found.assert_equal(reference.evaluate(atoms), 1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("name", ["bessel", "gaussian"])
def test_kernels_and_tables_equal_the_reference(name, tmp_path):
    """Radial functions that the compiled potentials below do not have."""
    layers, reference, atoms = STORED.layers_of(name), STORED.reference_of(name), STORED.results_of(name)[0][0]
    operators = layers.operators("cpu", "float64", "table", tmp_path)
    operators.compile()
    found = run_layers(layers, reference, atoms, "float64", operators)
    on_tables = reference.with_radial_functions(operators.code().tables)
    found.assert_equal(on_tables.evaluate(atoms), 1e-12)
    found.assert_equal(reference.evaluate(atoms), tolerances.PACKAGE_FORCE)


@pytest.mark.parametrize("name", MODELS)
def test_two_ranks_give_the_results_of_one(name, tmp_path):
    check_ranks(STORED.layers_of(name), tmp_path)


@pytest.fixture(scope="module", params=COMPILED)
def compiled(request):
    return request.param, compiled_model(STORED.file_of(request.param), dtype="float64")


def test_the_calculator_gives_the_results_of_matgl(compiled):
    name, path = compiled
    for atoms, expected in STORED.results_of(name):
        atoms.calc = MlipCalculator(path, n_threads=1)
        assert_energies_agree(
            atoms.get_potential_energy(), expected["energy"], len(atoms), tolerances.PACKAGE_ENERGY_PER_ATOM
        )
        assert_forces_agree(atoms.get_forces(), expected["forces"], tolerances.PACKAGE_FORCE)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks, compiled):
    name, path = compiled
    assert_lammps_equals(STORED.reference_of(name), STRUCTURES, path, n_ranks)


def test_the_radial_functions_are_tables(compiled):
    name, path = compiled
    metadata = read_metadata(path)
    assert metadata["radial"] == "table"
    assert len(metadata["radial_tables"]) == 3
    assert len(metadata["programs"]) == {"smooth": 5, "with_dgl": 1}[name]


def test_info_names_family_and_settings(capsys):
    assert main(["info", str(STORED.file_of("bessel"))]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line)
    assert rows["family"] == "tensornet"
    assert rows["elements"] == "Si O H"
    assert rows["group"] == "SO(3)"


@pytest.mark.parametrize("file", ["", "model.pt", "model.json"])
def test_the_folder_and_its_files_are_one_model(file):
    folder = STORED.file_of("smooth")
    assert read_model(folder / file).source_sha256 == read_model(folder).source_sha256


def changed(tmp_path, settings=None, options=None, states=None, model=None):
    """Return a copy of the folder ``smooth`` with other arguments and weights."""
    folder = shutil.copytree(STORED.file_of("smooth"), tmp_path / "changed")
    arguments = torch.load(folder / "model.pt", weights_only=True) | (options or {})
    arguments["model"] |= model or {}
    arguments["model"]["init_args"] |= settings or {}
    torch.save(arguments, folder / "model.pt")
    torch.save(torch.load(folder / "state.pt", weights_only=True) | (states or {}), folder / "state.pt")
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"include_state": True}, "the state of the whole system as an input"),
        ({"is_intensive": True}, "an intensive property of the whole structure"),
        ({"task_type": "classification"}, "a classification"),
        ({"ntargets": 2}, "several targets"),
        ({"rbf_type": "ExpNorm"}, "the radial functions ExpNorm"),
        ({"activation_type": "softexp"}, "the activation function softexp"),
        ({"n_heads": 4}, "the setting n_heads, which this package does not know"),
    ],
)
def test_an_unsupported_setting_is_named(tmp_path, settings, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, settings))


def test_a_later_version_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match="version 3 of TensorNet"):
        read_model(changed(tmp_path, model={"@model_version": 3}))


def test_a_constant_for_each_structure_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match="a data_mean of 2 eV, which MatGL adds to the energy"):
        read_model(changed(tmp_path, states={"data_mean": torch.tensor(2.0)}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": 9}, "has shape .* expected"),
        ({"nblocks": 10**9}, "nblocks of .* expected 1 to 20"),
        ({"cutoff": "far"}, "cutoff of .* is far, expected a distance"),
        ({"width": -1.0}, "width of .* is -1.0, expected a positive number"),
        ({"element_types": ("O", "Q")}, "element_types of .* is not a list of elements"),
        ({"equivariance_invariance_group": "E(3)"}, "equivariance_invariance_group of .* is E"),
    ],
)
def test_damaged_arguments_are_refused(tmp_path, settings, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, settings))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match=r"data_std .* not finite"):
        read_model(changed(tmp_path, states={"data_std": torch.tensor(float("nan"))}))


def test_weights_alone_are_refused():
    with pytest.raises(ModelFileError, match=r"contains weights only; give model\.pt or the folder"):
        read_model(STORED.file_of("smooth") / "state.pt")


def test_joined_weights_of_warp_are_the_same_model(tmp_path):
    """MatGL with NVIDIA Warp has one linear map of the distance in place of three."""
    states = torch.load(STORED.file_of("smooth") / "state.pt", weights_only=True)
    name = "model.tensor_embedding.distance_proj"
    joined = {
        f"{name}.{part}": torch.cat([states[f"{name}{k}.{part}"] for k in (1, 2, 3)]) for part in ("weight", "bias")
    }
    folder = changed(tmp_path, model={"@class": "TensorNetWarp", "@module": "matgl.models._tensornetwarp_pyg"})
    kept = {key: value for key, value in states.items() if not key.startswith(name)}
    torch.save(kept | joined, folder / "state.pt")
    found, expected = read_model(folder), read_model(STORED.file_of("smooth"))
    assert found.spec == expected.spec
    for key, array in expected.weights.items():
        np.testing.assert_array_equal(found.weights[key], array)


def test_another_version_has_other_results(tmp_path):
    """Version 1 gives the messages of an edge to its other atom."""
    atoms, expected = STORED.results_of("smooth")[0]
    trained = read_model(changed(tmp_path, model={"@model_version": 1, "@module": "matgl.models._tensornet_pyg"}))
    found = family_of(trained).reference(trained).evaluate(atoms)
    assert abs(found.energy - expected["energy"]) > 1e-4 * len(atoms)


def test_reading_does_not_import_torch():
    assert not reading_imports_torch(STORED.file_of("smooth"))
