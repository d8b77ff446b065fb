"""CHGNet potentials: read as data, exact against chgnet, and the same in LAMMPS on several ranks."""

import re
import shutil
import sys
from pathlib import Path

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
from mlip_lammps.core.errors import MlipError, ModelFileError, UnsupportedModelError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import family_of, read_model
from mlip_lammps.families.chain import EdgeGraph
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.models.installed import INSTALLED, licence_of
from mlip_lammps.structure.angles import angles_of
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

STORED = StoredModels("chgnet", ".pth.tar")
MODELS = ("norm", "plain")
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
def test_the_reference_gives_the_results_of_chgnet(name):
    reference = STORED.reference_of(name)
    results = STORED.results_of(name)
    assert len(results) == 3
    for atoms, expected in results:
        found = reference.evaluate(atoms)
        assert_equals_package(found, atoms, expected)
        np.testing.assert_allclose(found.node_properties["magmoms"], expected["magmoms"], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float64", "mixed"])
@pytest.mark.parametrize("structure", [0, 1, 2], ids=["triclinic", "cluster", "own images"])
def test_the_layers_equal_the_reference(name, dtype, structure):
    reference, atoms = STORED.reference_of(name), STORED.results_of(name)[structure][0]
    found = run_layers(STORED.layers_of(name), reference, atoms, dtype)
    found.assert_equal(reference.evaluate(atoms), 1e-10 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_two_ranks_give_the_results_of_one(name, tmp_path):
    check_ranks(STORED.layers_of(name, 20), tmp_path)


@pytest.fixture(scope="module")
def compiled():
    return compiled_model(STORED.file_of("norm"), dtype="float64", elements=ELEMENTS)


def test_the_calculator_gives_the_results_of_chgnet(compiled):
    for atoms, expected in STORED.results_of("norm"):
        atoms.calc = MlipCalculator(compiled, n_threads=1)
        assert_energies_agree(
            atoms.get_potential_energy(), expected["energy"], len(atoms), tolerances.PACKAGE_ENERGY_PER_ATOM
        )
        assert_forces_agree(atoms.get_forces(), expected["forces"], tolerances.PACKAGE_FORCE)
        np.testing.assert_allclose(atoms.get_magnetic_moments(), expected["magmoms"], rtol=0, atol=1e-10)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks, compiled):
    assert_lammps_equals(STORED.reference_of("norm"), STRUCTURES, compiled, n_ranks, is_relative=False)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_fix_pair_returns_the_magnetic_moments(n_ranks, compiled, tmp_path):
    atoms = STRUCTURES["triclinic"]
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    text = deck(
        coeff=pair_coeff(f"{compiled} H O"), last="fix m all pair 1 mlip/torch magmoms 0", atom_columns="f_m"
    )
    done = run_lammps(text, n_ranks, tmp_path)
    assert_results_agree(read_results(done), expected_results(compiled, atoms))
    moments = STORED.reference_of("norm").evaluate(atoms).node_properties["magmoms"]
    np.testing.assert_allclose(done.dump("dump.out")[:, 6], moments, rtol=0, atol=1e-9)


def test_an_atom_with_too_many_bonds_is_an_error(compiled):
    atoms = DENSE.copy()
    atoms.calc = MlipCalculator(compiled, n_threads=1)
    with pytest.raises(MlipError, match=TOO_MANY):
        atoms.get_potential_energy()


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_an_atom_with_too_many_bonds_stops_all_ranks(n_ranks, compiled, tmp_path):
    write_data(tmp_path / "box.data", DENSE, ELEMENTS)
    text = deck("mlip/torch close ignore", pair_coeff(f"{compiled} H O"))
    line = error_line(run_lammps(text, n_ranks, tmp_path, is_refused=True))
    assert re.search(TOO_MANY, line)


def test_layers_give_no_energy_to_an_atom_with_too_many_bonds():
    """A plugin that does not know the limit finds energies that are not finite."""
    trained = read_model(STORED.file_of("plain"))
    layers = family_of(trained).layers(trained, (1, 8))
    chain = layers.chain("float64", layers.operators("torch", "float64", "exact", Path()))
    edges = build_graph(DENSE, layers.cutoff)
    species = torch.zeros(len(DENSE), dtype=torch.int64)
    pairs = torch.from_numpy(angles_of(edges.edge_centre, edges.edge_vectors, layers.angle_cutoff))
    arrays = (torch.from_numpy(one) for one in (edges.edge_vectors, edges.edge_centre, edges.edge_neighbour))
    _, energies = chain.layer(1, EdgeGraph(species, *arrays, species, angle_edges=pairs), None, None)
    assert energies.isnan().any()


def test_energies_and_forces_are_continuous_at_the_bond_cutoff(compiled):
    cutoff, results = read_metadata(compiled)["angle_cutoff"], []
    for distance in (cutoff - 1e-6, cutoff + 1e-6):
        positions = [[0, 0, 0], [distance, 0, 0], [-0.6, 1.1, 0.3], [distance + 0.4, -1.0, 0.5]]
        atoms = Atoms("OHOH", positions=positions, calculator=MlipCalculator(compiled, n_threads=1))
        results.append((atoms.get_potential_energy(), atoms.get_forces()))
    (energy, forces), (other_energy, other_forces) = results
    assert abs(energy - other_energy) < 1e-4
    np.testing.assert_allclose(forces, other_forces, rtol=0, atol=1e-4)


def test_a_model_without_norms_passes_the_check_of_the_export():
    path = compiled_model(STORED.file_of("plain"), dtype="mixed", elements=ELEMENTS)
    assert read_metadata(path)["differences"]["energy_per_atom_ev"] < 1e-5


def test_the_file_states_bonds_and_magnetic_moments(compiled):
    metadata = read_metadata(compiled)
    assert metadata["angle_cutoff"] == 2.6
    assert metadata["max_bonds"] == 40
    assert metadata["node_properties"] == ["magmoms"]
    assert metadata["programs"][1]["outputs"][-1] == "node_properties"


def test_info_names_family_elements_and_cutoffs(capsys):
    assert main(["info", str(STORED.file_of("norm"))]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line)
    assert rows["family"] == "chgnet"
    assert rows["bond_cutoff"] == "2.6"
    assert len(rows["elements"].split()) == 89
    assert "Po" not in rows["elements"].split()


def test_names_lead_to_the_files_of_the_package(tmp_path, monkeypatch, capsys):
    file = tmp_path / INSTALLED["chgnet-0.3.0"].file
    file.parent.mkdir(parents=True)
    shutil.copy(STORED.file_of("norm"), file)
    (tmp_path / "chgnet" / "__init__.py").write_text("raise RuntimeError('imported')")
    record = tmp_path / "chgnet-0.4.2.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: chgnet\nVersion: 0.4.2\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert read_model("chgnet-0.3.0").source_name == file.name
    assert "chgnet" not in sys.modules
    assert licence_of(file) == "BSD 3-clause (package chgnet 0.4.2)"
    with pytest.raises(ModelFileError, match="chgnet-r2scan is a file of the Python package chgnet"):
        read_model("chgnet-r2scan")


def changed(tmp_path, settings=None, states=None, without=()):
    """Return a copy of ``norm`` with other arguments and weights."""
    content = torch.load(STORED.file_of("norm"), weights_only=True)
    content["model"]["model_args"] |= settings or {}
    content["model"]["state_dict"] |= states or {}
    for name in without:
        del content["model"][name]
    torch.save(content, tmp_path / "changed.pth.tar")
    return tmp_path / "changed.pth.tar"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mlp_first": False}, "a readout of the average over all atoms"),
        ({"is_intensive": False}, "energies of structures instead of energies per atom"),
        ({"update_bond": False}, "no update of the bonds"),
        ({"update_angle": False}, "no update of the angles"),
        ({"conv_norm": "layer"}, "a normalisation of the features"),
        ({"final_mlp": "gated"}, "a gated readout"),
        ({"mlp_out_bias": True}, r"version 0\.2\.0 of CHGNet: its energy jumps"),
        ({"gMLP_norm": "batch"}, r"the normalisation \(gMLP_norm\) batch"),
        ({"non_linearity": "relu"}, "the activation function relu"),
        ({"composition_model": "MPF"}, r"the reference energies \(composition_model\) MPF"),
        ({"bond_graph_cutoff": 3.6}, r"bond_graph_cutoff of 3\.6 angstrom, which is longer than the atom_graph_cutoff"),
        ({"cutoff_coeff": 0}, r"no cutoff function \(cutoff_coeff 0\)"),
    ],
)
def test_an_unsupported_setting_is_named(tmp_path, settings, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, settings))


def test_weights_of_version_0_2_are_refused(tmp_path):
    """Its file does not state the biases among the arguments."""
    states = {"atom_conv_layers.0.mlp_out.layers.1.bias": torch.zeros(6)}
    with pytest.raises(UnsupportedModelError, match=r"version 0\.2\.0 of CHGNet: its energy jumps where"):
        read_model(changed(tmp_path, states=states))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"atom_fea_dim": 9}, "has shape .* expected"),
        ({"n_conv": 10**9}, "n_conv of .* expected 2 to 20"),
        ({"n_conv": 1}, "n_conv of .* expected 2 to 20"),
        ({"num_angular": 4}, "num_angular of .* is 4, expected an odd number"),
        ({"atom_graph_cutoff": "far"}, "atom_graph_cutoff of .* is far, expected a distance"),
        ({"mlp_hidden_dims": "wide"}, "mlp_hidden_dims of .* is wide, expected widths"),
    ],
)
def test_damaged_arguments_are_refused(tmp_path, settings, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, settings))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    states = {"bond_embedding.weight": torch.full((5, 5), float("nan"))}
    with pytest.raises(ModelFileError, match=r"bond_embedding\.weight .* not finite"):
        read_model(changed(tmp_path, states=states))


def test_weights_alone_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match="contains no model_args and state_dict of CHGNet; give a checkpoint"):
        read_model(changed(tmp_path, without=["model_args"]))


def test_a_truncated_file_is_refused(tmp_path):
    file = changed(tmp_path)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(ModelFileError, match="is a truncated zip file"):
        read_model(file)


def test_reading_does_not_import_torch():
    assert not reading_imports_torch(STORED.file_of("norm"))
