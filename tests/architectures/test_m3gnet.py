"""M3GNet potentials of MatGL: read as data, exact against MatGL, and the same in LAMMPS on several ranks."""

import shutil

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
from mlip_lammps.families import read_model
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

STORED = StoredModels("m3gnet")
MODELS = ("smooth", "bessel", "dgl_smooth", "dgl_bessel")
STRUCTURES = {
    "triclinic": rattled_triclinic(("H", "O"), repeat=(3, 3, 4), seed=2),
    "molecule in a corner": isolated_molecule(("H", "O")),
    "far apart": Atoms("HO", positions=[[1, 1, 1], [9, 9, 9]], cell=[20, 20, 20], pbc=True),
    "one atom": Atoms("O", positions=[[1, 1, 1]], cell=[20, 20, 20], pbc=True),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_reference_gives_the_results_of_matgl(name):
    reference = STORED.reference_of(name)
    for atoms, expected in STORED.results_of(name):
        assert_equals_package(reference.evaluate(atoms), atoms, expected)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", ["float64", "mixed"])
def test_the_layers_equal_the_reference(name, dtype):
    reference, atoms = STORED.reference_of(name), STORED.results_of(name)[0][0]
    found = run_layers(STORED.layers_of(name), reference, atoms, dtype)
    limit = 1e-10 if dtype == "float64" else 1e-4
    found.assert_equal(reference.evaluate(atoms), limit, reference.splits_gradients)


@pytest.mark.parametrize("name", MODELS)
def test_two_ranks_give_the_results_of_one(name, tmp_path):
    check_ranks(STORED.layers_of(name), tmp_path)


@pytest.fixture(scope="module", params=["dgl_smooth", "smooth"])
def network(request):
    return request.param


@pytest.fixture(scope="module")
def compiled(network):
    return compiled_model(STORED.file_of(network), dtype="float64")


def test_the_calculator_gives_the_results_of_matgl(network, compiled):
    for atoms, expected in STORED.results_of(network):
        atoms.calc = MlipCalculator(compiled, n_threads=1)
        assert_energies_agree(
            atoms.get_potential_energy(), expected["energy"], len(atoms), tolerances.PACKAGE_ENERGY_PER_ATOM
        )
        assert_forces_agree(atoms.get_forces(), expected["forces"], tolerances.PACKAGE_FORCE)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks, network, compiled):
    assert_lammps_equals(STORED.reference_of(network), STRUCTURES, compiled, n_ranks, is_relative=False)


def test_the_file_has_no_angles(network, compiled):
    metadata = read_metadata(compiled)
    assert "angle_cutoff" not in metadata
    assert "angle_edges" not in metadata["programs"][0]["inputs"]
    assert metadata["threebody_cutoff"] == read_model(STORED.file_of(network)).spec.threebody_cutoff
    assert metadata["has_incoming_messages"] is network.startswith("dgl")


def test_info_names_family_and_cutoffs(capsys):
    assert main(["info", str(STORED.file_of("bessel"))]) == 0
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if " " in line)
    assert rows["family"] == "m3gnet"
    assert rows["elements"] == "Si O H"
    assert rows["threebody_cutoff"] == "3.0"


@pytest.mark.parametrize("file", ["", "model.pt", "model.json"])
def test_the_folder_and_its_files_are_one_model(file):
    folder = STORED.file_of("smooth")
    assert read_model(folder / file).source_sha256 == read_model(folder).source_sha256


def changed(tmp_path, settings=None, options=None, states=None):
    """Return a copy of the folder ``smooth`` with other arguments and weights."""
    folder = shutil.copytree(STORED.file_of("smooth"), tmp_path / "changed")
    arguments = torch.load(folder / "model.pt", weights_only=True) | (options or {})
    if settings is not None:
        arguments["model"]["init_args"] |= settings
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
        ({"rbf_type": "Gaussian"}, "other radial functions than SphericalBessel"),
        ({"use_phi": True}, "spherical harmonics of two angles"),
        ({"activation_type": "softexp"}, "the activation function softexp"),
        ({"threebody_cutoff": 3.6}, "threebody_cutoff of 3.6 angstrom, which is longer than the cutoff 3.5"),
    ],
)
def test_an_unsupported_setting_is_named(tmp_path, settings, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, settings))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calc_repuls": True}, "the ZBL repulsion of MatGL"),
        ({"target_transformer": None}, "predicts a property such as the formation energy"),
        ({"model": None, "threebody_cutoff": 3.0}, "a network without a Potential"),
        ({"model": {"@class": "QET", "@module": "matgl.models"}}, "a QET model of MatGL.*charges"),
        ({"model": {"@class": "SO3Net", "@module": "matgl.models"}}, "a SO3Net model of MatGL"),
    ],
)
def test_another_model_of_matgl_is_named(tmp_path, options, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, options=options))


def test_a_constant_for_each_structure_is_refused(tmp_path):
    with pytest.raises(UnsupportedModelError, match="a data_mean of 2 eV, which MatGL adds to the energy"):
        read_model(changed(tmp_path, states={"data_mean": torch.tensor(2.0)}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"units": 9}, "has shape .* expected"),
        ({"nblocks": 10**9}, "nblocks of .* expected 1 to 20"),
        ({"cutoff": "far"}, "cutoff of .* is far, expected a distance"),
        ({"element_types": ("O", "Q")}, "element_types of .* is not a list of elements"),
        ({"element_types": ("O", "O")}, "has an element twice"),
    ],
)
def test_damaged_arguments_are_refused(tmp_path, settings, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, settings))


def test_weights_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(ModelFileError, match=r"data_std .* not finite"):
        read_model(changed(tmp_path, states={"data_std": torch.tensor(float("nan"))}))


@pytest.mark.parametrize("file", ["model.pt", "state.pt"])
def test_a_missing_file_is_named(tmp_path, file):
    folder = changed(tmp_path)
    (folder / file).unlink()
    with pytest.raises(ModelFileError, match=rf"{file} is missing: .* a folder with model.pt and state.pt"):
        read_model(folder)


def test_a_truncated_file_is_refused(tmp_path):
    folder = changed(tmp_path)
    (folder / "state.pt").write_bytes((folder / "state.pt").read_bytes()[:-200])
    with pytest.raises(ModelFileError, match="damaged zip file"):
        read_model(folder)


def test_weights_alone_are_refused():
    with pytest.raises(ModelFileError, match=r"contains weights only; give model\.pt or the folder"):
        read_model(STORED.file_of("smooth") / "state.pt")


def test_reading_does_not_import_torch():
    assert not reading_imports_torch(STORED.file_of("smooth"))
