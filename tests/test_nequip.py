"""NequIP checkpoints: read as data, exact against NequIP, and the same in LAMMPS on several ranks."""

import zipfile

import pytest
import torch
from package_files import (
    NEQUIP,
    assert_equals_package,
    assert_lammps_equals_the_reference,
    file_of,
    reading_imports_torch,
    results_of_package,
    trained,
)

from mlip_lammps.compilation import compiled_model, export_model
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families import family_of, read_model
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph


@pytest.mark.parametrize("case", NEQUIP)
def test_the_reference_gives_the_results_of_nequip(case):
    model = trained(case)
    reference = family_of(model).reference(model)
    assert family_of(model).name == "nequip"
    for atoms, expected in results_of_package(case):
        assert_equals_package(reference.evaluate(atoms), atoms, expected)


@pytest.mark.parametrize("case", NEQUIP)
def test_a_compiled_file_gives_the_results_of_nequip(case):
    model = CompiledModel(compiled_model(file_of(case), dtype="float64"), n_threads=1)
    for atoms, expected in results_of_package(case):
        assert_equals_package(model.evaluate(build_graph(atoms, model.cutoff)), atoms, expected)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(n_ranks):
    assert_lammps_equals_the_reference("in_float64", n_ranks)


def test_the_network_on_every_edge_gives_the_results_of_nequip(tmp_path):
    export_model(file_of("averages"), tmp_path / "exact.pt2", dtype="float64", radial="exact")
    model = CompiledModel(tmp_path / "exact.pt2", n_threads=1)
    assert model.metadata["radial"] == "exact"
    for atoms, expected in results_of_package("averages"):
        assert_equals_package(model.evaluate(build_graph(atoms, model.cutoff)), atoms, expected)


def changed(tmp_path, case, settings=None, states=None):
    """Return a copy of a checkpoint with other settings and weights."""
    content = torch.load(file_of(case), weights_only=False)
    content["hyper_parameters"]["model"] |= settings or {}
    content["state_dict"] |= states or {}
    torch.save(content, tmp_path / "changed.ckpt")
    return tmp_path / "changed.ckpt"


def test_averaged_weights_are_taken_and_not_the_last_ones(tmp_path):
    content = torch.load(file_of("averages"), weights_only=False)
    last = {name: torch.zeros_like(one) for name, one in content["state_dict"].items() if "linear_1.weight" in name}
    digest = trained("averages").content_digest()
    assert read_model(changed(tmp_path, "averages", states=last)).content_digest() == digest
    averages = {"ema.ema_weight_1": 2.0 * content["state_dict"]["ema.ema_weight_1"]}
    other = read_model(changed(tmp_path, "averages", states=averages))
    assert other.content_digest() != digest


def test_a_checkpoint_of_a_validation_is_refused(tmp_path):
    extra = {"decay": 0.999, "num_updates": 5, "is_holding_ema_weights": False}
    with pytest.raises(ModelFileError, match="was written during a validation"):
        read_model(changed(tmp_path, "averages", states={"ema._extra_state": extra}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_target_": "allegro.model.AllegroModel"}, "was built with allegro.model.AllegroModel"),
        ({"per_edge_type_cutoff": {"O": 2.0}}, "cutoffs by pair of types; train with one r_max"),
        ({"pair_potential": {"_target_": "nequip.nn.pair_potential.ZBL"}}, "a pair potential; train without it"),
        ({"readout_mlp_hidden_layers_depth": 1}, "a readout with hidden layers"),
        ({"convnet_nonlinearity_type": "norm"}, "no self-connections or no gates"),
        ({"type_names": ["Si", "oxygen", "H"]}, "the type oxygen, which is not an element"),
        ({"avg_num_neighbors": {"Si": 4.0, "O": 3.0, "H": 2.0}}, "avg_num_neighbors by type"),
    ],
)
def test_an_unsupported_setting_is_named(tmp_path, settings, message):
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(changed(tmp_path, "two_orders", settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"radial_mlp_width": 9}, "has shape .* expected"),
        ({"num_features": [8, 2, 2]}, "which do not fit its irreps"),
        ({"num_features": [4, 2]}, "does not fit l_max 2"),
        ({"r_max": "far"}, "r_max of .* is far, expected a distance"),
        ({"num_layers": 10**9}, "num_layers of .* expected 1 to 50"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, settings, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, "two_orders", settings))


def test_a_packaged_model_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.nequip.zip", "w") as archive:
        archive.writestr("model/.data/extern_modules", "")
        archive.writestr("model/nequip/nn/__init__.py", "")
    with pytest.raises(UnsupportedModelError, match=r"nequip-package, which contains code; give the checkpoint"):
        read_model(tmp_path / "model.nequip.zip")


def test_reading_does_not_import_torch():
    assert not reading_imports_torch(file_of("averages"))
