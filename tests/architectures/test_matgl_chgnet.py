"""CHGNet potentials of MatGL: read as data, exact against MatGL, and the same in LAMMPS on several ranks."""

import re
import shutil

import numpy as np
import pytest
import torch
from ase import Atoms
from lammps_deck import assert_results_agree, deck, pair_coeff, read_results
from lammps_run import error_line, run_lammps
from lammps_structures import expected_results, write_data
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
from mlip_lammps.families import read_model
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

STORED = StoredModels("matgl_chgnet")
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


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_gives_the_results_of_matgl(name):
    reference, results = STORED.reference_of(name), STORED.results_of(name)
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
    reference, atoms = STORED.reference_of(name), STORED.results_of("norm")[structure][0]
    expected = reference.evaluate(atoms)
    scale = max(1.0, np.abs(expected.edge_gradients).max())
    found = run_layers(STORED.layers_of(name), reference, atoms, dtype)
    found.assert_equal(expected, (1e-11 if dtype == "float64" else 1e-4) * scale)


@pytest.mark.parametrize("name", MODELS)
def test_two_ranks_give_the_results_of_one(name, tmp_path):
    check_ranks(STORED.layers_of(name, 8), tmp_path)


@pytest.fixture(scope="module")
def compiled():
    return compiled_model(STORED.file_of("hidden_norms"), dtype="float64", elements=ELEMENTS)


def test_the_calculator_gives_the_results_of_matgl(compiled):
    for atoms, expected in STORED.results_of("hidden_norms"):
        atoms.calc = MlipCalculator(compiled, n_threads=1)
        assert_energies_agree(
            atoms.get_potential_energy(), expected["energy"], len(atoms), tolerances.PACKAGE_ENERGY_PER_ATOM
        )
        assert_forces_agree(atoms.get_forces(), expected["forces"], tolerances.PACKAGE_FORCE)
        np.testing.assert_allclose(atoms.get_magnetic_moments(), expected["magmoms"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks, compiled):
    assert_lammps_equals(STORED.reference_of("hidden_norms"), STRUCTURES, compiled, n_ranks, is_relative=False)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_three_layers_on_ranks_equal_the_reference(n_ranks):
    path = compiled_model(STORED.file_of("norm"), dtype="float64")
    assert_lammps_equals(STORED.reference_of("norm"), STRUCTURES, path, n_ranks)


def test_a_model_without_moments_and_norms_passes_the_check_of_the_export():
    # its forces reach 1e5 eV/angstrom, of which mixed precision keeps fewer digits than an export asks for
    path = compiled_model(STORED.file_of("plain"), dtype="float64")
    metadata = read_metadata(path)
    assert metadata["differences"]["energy_per_atom_ev"] < 1e-5
    assert "node_properties" not in metadata


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_fix_pair_returns_the_magnetic_moments(n_ranks, compiled, tmp_path):
    atoms = STRUCTURES["triclinic"]
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    text = deck(
        coeff=pair_coeff(f"{compiled} H O"), last="fix m all pair 1 mlip/torch magmoms 0", atom_columns="f_m"
    )
    done = run_lammps(text, n_ranks, tmp_path)
    assert_results_agree(read_results(done), expected_results(compiled, atoms))
    moments = STORED.reference_of("hidden_norms").evaluate(atoms).node_properties["magmoms"]
    np.testing.assert_allclose(done.dump("dump.out")[:, 6], moments, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_an_atom_with_too_many_bonds_stops_all_ranks(n_ranks, compiled, tmp_path):
    write_data(tmp_path / "box.data", DENSE, ELEMENTS)
    text = deck("mlip/torch close ignore", pair_coeff(f"{compiled} H O"))
    line = error_line(run_lammps(text, n_ranks, tmp_path, is_refused=True))
    assert re.search(TOO_MANY, line)


def test_the_file_states_bonds_moments_and_steps(compiled):
    metadata = read_metadata(compiled)
    assert metadata["angle_cutoff"] == 2.6
    assert metadata["max_bonds"] == 40
    assert metadata["node_properties"] == ["magmoms"]
    assert metadata["at_cutoff"] == "energies and forces jump"


def steps_at(name: str, cutoff: float) -> tuple[float, float]:
    """Return the jumps of energy (eV) and slope (eV/angstrom) where two of four atoms are a cutoff apart."""
    reference, step, energies = STORED.reference_of(name), 1e-5, []
    for distance in (cutoff + k * step for k in (-3, -1, 1, 3)):
        positions = [[0, 0, 0], [distance, 0, 0], [-0.6, 1.1, 0.3], [distance + 0.4, -1.0, 0.5]]
        energies.append(reference.evaluate(Atoms("OHOH", positions=positions)).energy)
    before, across, after = np.diff(energies)
    return abs(across - (before + after) / 2), abs(after - before) / (2 * step)


@pytest.mark.parametrize("cutoff", [2.6, 3.5], ids=["bonds", "edges"])
def test_forces_jump_at_the_cutoffs_and_energies_with_trained_frequencies(cutoff):
    """As in MatGL, whose cutoff function takes the value of a radial function in place of the distance."""
    energy, slope = steps_at("norm", cutoff)
    assert energy < 1e-6
    assert slope > 1e-2
    assert read_model(STORED.file_of("norm")).at_cutoff == "forces jump"
    assert steps_at("with_dgl", cutoff)[0] > 1e-4
    assert read_model(STORED.file_of("with_dgl")).at_cutoff == "energies and forces jump"


def test_info_names_family_cutoffs_and_steps(capsys):
    assert main(["info", str(STORED.file_of("norm"))]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line)
    assert rows["family"] == "matgl-chgnet"
    assert rows["elements"] == "O H"
    assert rows["bond_cutoff"] == "2.6"
    assert rows["at_cutoff"] == "forces jump"


def test_a_file_without_elements_has_those_of_matgl():
    assert read_model(STORED.file_of("hidden_norms")).atomic_numbers == tuple(range(1, 95))


@pytest.mark.parametrize("file", ["", "model.pt", "model.json"])
def test_the_folder_and_its_files_are_one_model(file):
    assert read_model(STORED.file_of("norm") / file).source_sha256 == read_model(STORED.file_of("norm")).source_sha256


def changed(tmp_path, settings=None, options=None, states=None, name="norm", model=None):
    """Return a copy of a folder with other arguments and weights."""
    folder = shutil.copytree(STORED.file_of(name), tmp_path / "changed")
    arguments = torch.load(folder / "model.pt", weights_only=True) | (options or {})
    arguments["model"] |= model or {}
    arguments["model"]["init_args"] |= settings or {}
    torch.save(arguments, folder / "model.pt")
    torch.save(torch.load(folder / "state.pt", weights_only=True) | (states or {}), folder / "state.pt")
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim_state_feats": 2}, "the state of the whole system as an input"),
        ({"dim_state_embedding": 2}, "the state of the whole system as an input"),
        ({"is_intensive": True}, "an intensive property of the whole structure"),
        ({"task_type": "classification"}, "a classification"),
        ({"num_targets": 2}, "several targets"),
        ({"num_site_targets": 3}, "has 3 results for each atom"),
        ({"pooling_operation": "mean"}, "an average over atoms"),
        ({"readout_field": "bond_feat"}, "energies of bonds or angles"),
        ({"normalization": "graph"}, "normalization graph, and this package supports layer, None"),
        ({"activation_type": "softexp"}, "the activation function softexp"),
        ({"threebody_cutoff": 0.0}, "no angles"),
        ({"num_blocks": 1}, "one block, which has no angles"),
        ({"threebody_cutoff": 3.6}, "threebody_cutoff of 3.6 angstrom, which is longer than the cutoff 3.5"),
        ({"shared_bond_weights": "three_body_bond"}, "messages of edges without weights .* energies jump"),
        ({"shared_bond_weights": "bond", "layer_bond_weights": "both"}, "messages of angles without shared weights"),
        ({"attention": True}, "the setting attention, which this package does not know"),
    ],
)
def test_an_unsupported_setting_is_named(tmp_path, settings, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, settings))


def test_a_repulsion_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match="the ZBL repulsion of MatGL"):
        read_model(changed(tmp_path, options={"calc_repuls": True}))


def test_a_newer_version_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match="version 2 of CHGNet, and this package knows version 1"):
        read_model(changed(tmp_path, model={"@model_version": 2}))


def test_a_gated_readout_of_matgl_with_dgl_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match="a gated readout of MatGL with DGL"):
        read_model(changed(tmp_path, {"final_mlp_type": "gated"}, name="with_dgl"))


def test_a_constant_for_each_structure_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match="a data_mean of 2 eV, which MatGL adds to the energy"):
        read_model(changed(tmp_path, states={"data_mean": torch.tensor(2.0)}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dim_bond_embedding": 9}, "has shape .* expected"),
        ({"num_blocks": 10**9}, "num_blocks of .* expected 2 to 20"),
        ({"cutoff": "far"}, "cutoff of .* is far, expected a distance"),
        ({"cutoff_exponent": 2.5}, r"cutoff_exponent of .* is 2\.5, expected 1 to 100"),
        ({"atom_conv_hidden_dims": 64}, "atom_conv_hidden_dims of .* is 64, expected widths"),
        ({"normalize_hidden": 1}, "normalize_hidden of .* is 1, expected True or False"),
        ({"element_types": ("O", "Q")}, "element_types of .* is not a list of elements"),
    ],
)
def test_damaged_arguments_are_refused(tmp_path, settings, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, settings))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    states = {"model.bond_expansion.frequencies": torch.full((5,), float("nan"))}
    with pytest.raises(ModelFileError, match=r"bond_expansion\.frequencies .* not finite"):
        read_model(changed(tmp_path, states=states))


@pytest.mark.parametrize("file", ["model.pt", "state.pt"])
def test_a_missing_file_is_named(tmp_path, file):
    folder = changed(tmp_path)
    (folder / file).unlink()
    with pytest.raises(ModelFileError, match=rf"{file} is missing: .* a folder with model.pt and state.pt"):
        read_model(folder)


def test_weights_alone_are_refused():
    with pytest.raises(ModelFileError, match=r"contains weights only; give model\.pt or the folder"):
        read_model(STORED.file_of("norm") / "state.pt")


def test_reading_does_not_import_torch():
    assert not reading_imports_torch(STORED.file_of("norm"))
