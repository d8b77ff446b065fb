"""SevenNet checkpoints: read as data, exact against SevenNet, and the same in ASE and LAMMPS on several ranks."""

import pickle
import zipfile

import pytest
import torch
from package_files import (
    SEVENNET,
    assert_equals_package,
    assert_lammps_equals_the_reference,
    file_of,
    head_of,
    reading_imports_torch,
    results_of_package,
    trained,
)
from uncompiled import run_layers

from mlip_lammps.cli.main import EXIT_USER_INPUT, main
from mlip_lammps.compilation import compiled_model, export_model
from mlip_lammps.compilation.consistency import check_ranks
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError, UserInputError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import family_of, read_model, select_head
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_virials_agree

IN_LAMMPS = ("linear_xplor", "parity_bias", "modals.SCAN")


@pytest.mark.parametrize("case", SEVENNET)
def test_the_reference_gives_the_results_of_package(case):
    model = trained(case)
    reference = family_of(model).reference(model)
    for atoms, expected in results_of_package(case):
        assert_equals_package(reference.evaluate(atoms), atoms, expected)


@pytest.mark.parametrize("case", SEVENNET)
def test_the_layers_equal_the_reference_and_two_ranks_one(case, tmp_path):
    model, (atoms, _) = trained(case), results_of_package(case)[0]
    layers, reference = family_of(model).layers(model, model.atomic_numbers), family_of(model).reference(model)
    run_layers(layers, reference, atoms, "float64").assert_equal(reference.evaluate(atoms), 1e-10)
    check_ranks(layers, tmp_path)


def test_kernels_and_tables_equal_the_reference(tmp_path):
    model, (atoms, _) = trained("modals.SCAN"), results_of_package("modals.SCAN")[0]
    layers, reference = family_of(model).layers(model, model.atomic_numbers), family_of(model).reference(model)
    operators = layers.operators("cpu", "float64", "table", tmp_path)
    operators.compile()
    found = run_layers(layers, reference, atoms, "float64", operators)
    found.assert_equal(reference.evaluate(atoms), tolerances.TABLE_REFERENCE)


@pytest.mark.parametrize("case", SEVENNET)
def test_a_compiled_file_gives_the_results_of_package(case):
    path = compiled_model(file_of(case), dtype="float64", head=head_of(case))
    model = CompiledModel(path, n_threads=1)
    for atoms, expected in results_of_package(case):
        found = model.evaluate(build_graph(atoms, model.cutoff))
        assert_equals_package(found, atoms, expected)


def test_a_scaled_force_is_found():
    atoms, expected = results_of_package("linear_xplor")[0]
    model = trained("linear_xplor")
    found = family_of(model).reference(model).evaluate(atoms)
    with pytest.raises(AssertionError):
        assert_equals_package(found, atoms, expected | {"forces": 1.0001 * expected["forces"]})


def test_the_network_on_every_edge_gives_the_results_of_package(tmp_path):
    export_model(file_of("version_0_9"), tmp_path / "exact.pt2", dtype="float64", radial="exact")
    model = CompiledModel(tmp_path / "exact.pt2", n_threads=1)
    for atoms, expected in results_of_package("version_0_9"):
        assert_equals_package(model.evaluate(build_graph(atoms, model.cutoff)), atoms, expected)


@pytest.mark.parametrize("case", IN_LAMMPS)
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(case, n_ranks):
    assert_lammps_equals_the_reference(case, n_ranks)


def test_features_reach_atoms_beyond_the_cutoff():
    """Otherwise the LAMMPS test would pass without an exchange of features."""
    from ase import Atoms

    model = trained("linear_xplor")
    chain = Atoms("OHO", positions=[[0, 0, 0], [2.5, 0, 0], [5, 0, 0]])
    assert chain.get_distance(0, 2) > model.cutoff
    reference = family_of(model).reference(model)
    energies = [reference.evaluate(atoms).node_energies[0] for atoms in (chain, chain[:2])]
    assert abs(energies[0] - energies[1]) > 1e-4


def test_the_ase_calculator_gives_energy_forces_and_stress():
    case = "modals.SCAN"
    (atoms, expected), *_ = results_of_package(case)
    atoms.calc = MlipCalculator(compiled_model(file_of(case), dtype="float64", head=head_of(case)), n_threads=1)
    assert_energies_agree(
        atoms.get_potential_energy(), expected["energy"], len(atoms), tolerances.PACKAGE_ENERGY_PER_ATOM
    )
    assert_virials_agree(atoms.get_stress(), expected["stress"], tolerances.REFERENCE_STRESS, "eV/angstrom^3")


def test_the_modal_is_the_head():
    model = read_model(file_of("modals.PBE"))
    assert model.facts()["heads"] == ["PBE", "SCAN"]
    with pytest.raises(UserInputError, match=r"has the heads PBE, SCAN; choose one with --head"):
        select_head(model, None)
    with pytest.raises(UserInputError, match="has no head R2SCAN; choose one of PBE, SCAN"):
        select_head(model, "R2SCAN")
    with pytest.raises(UserInputError, match="has no heads"):
        select_head(read_model(file_of("linear_xplor")), "PBE")
    assert select_head(model, "SCAN").content_digest() != select_head(model, "PBE").content_digest()


def test_info_prints_family_version_and_elements(capsys):
    assert main(["info", str(file_of("version_0_9"))]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line)
    assert (rows["supported"], rows["family"], rows["elements"]) == ("yes", "sevennet", "O H")
    assert rows["made_by"] == "SevenNet 0.9.1"
    assert "Park et al." in rows["citation"]


def test_reading_does_not_import_torch():
    assert not reading_imports_torch(file_of("modals.PBE"))


def changed(tmp_path, case, config=None, states=None):
    """Return a copy of a checkpoint with other settings and weights."""
    content = torch.load(file_of(case), weights_only=False)
    content["config"] |= config or {}
    for name, change in (states or {}).items():
        content["model_state_dict"][name] = change(content["model_state_dict"][name])
    torch.save(content, tmp_path / "changed.pth")
    return tmp_path / "changed.pth"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"readout_as_fcn": True}, "readout_as_fcn True, and this package supports False; train without the network"),
        ({"act_radial": "ssp"}, "act_radial ssp, and this package supports silu"),
        ({"act_gate": {"e": "gelu", "o": "tanh"}}, "has e gelu, and this package supports silu and ssp"),
        ({"radial_basis": {"radial_basis_name": "gaussian"}}, "radial_basis_name gaussian"),
        ({"self_connection_type": "none"}, "self_connection_type"),
        ({"optimize_by_reduce": False}, "SevenNet itself no longer reads such files"),
        ({"irreps_manual": ["8x0e", "4x1e+8x0e", "8x0e+4x1e+4x2e", "8x0e"]}, "do not begin with scalars"),
    ],
)
def test_an_unsupported_setting_is_named(tmp_path, config, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, "linear_xplor", config))


@pytest.mark.parametrize(
    ("config", "states", "message"),
    [
        ({"cutoff": "long"}, {}, "the setting cutoff of .* is a str, expected int or float"),
        ({"num_convolution_layer": 10**9}, {}, "num_convolution_layer of .* expected 1 to 50"),
        ({"_type_map": {8: 0, 1: 5}}, {}, "_type_map of .* is not a map of elements"),
        ({"lmax": 1, "irreps_manual": False}, {}, "has shape .* expected"),
        ({}, {"reduce_hidden_to_energy.linear.weight": lambda array: array[:2]}, "has shape 2, expected 4"),
        ({}, {"1_convolution.denominator": lambda array: 0 * array}, "a denominator of .* is not positive"),
        ({}, {"rescale_atomic_energy.shift": lambda array: array * float("nan")}, "not finite"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, config, states, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, "linear_xplor", config, states))


def test_couplings_that_are_not_wigner_symbols_are_refused(tmp_path):
    name = "1_convolution.convolution._compiled_main_left_right._w3j_1_1_2"
    model = read_model(changed(tmp_path, "linear_xplor", states={name: lambda array: 2.0 * array}))
    with pytest.raises(ModelFileError, match="couplings of the orders 1, 1 and 2 that are not Wigner 3j symbols"):
        family_of(model).reference(model)


class _Calls:
    def __reduce__(self):
        return print, ("this ran",)


def test_code_in_a_checkpoint_does_not_run(tmp_path, capsys):
    content = {"model_state_dict": {}, "config": {"_model_type": "E3_equivariant_model", "version": _Calls()}}
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps(content, protocol=2))
    assert main(["info", str(tmp_path / "bad.pth")]) == 0
    assert main(["export", str(tmp_path / "bad.pth"), "-o", str(tmp_path / "bad.pt2")]) == EXIT_USER_INPUT
    assert "this ran" not in capsys.readouterr().out


def test_a_gpu_export_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match="gated convolutions, which have no kernels for device cuda"):
        export_model(file_of("linear_xplor"), tmp_path / "a.pt2", device="cuda")
