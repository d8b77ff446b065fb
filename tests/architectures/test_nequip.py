"""NequIP checkpoints and packages: read as data, exact against NequIP, and the same in LAMMPS on several ranks."""

import shutil
import zipfile
from types import SimpleNamespace

import pytest
import torch
from package_files import (
    NEQUIP,
    NEQUIP_OLD,
    NEQUIP_PACKAGES,
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
from mlip_lammps.families.checkpoints.pickle_reader import Record
from mlip_lammps.families.nequip.modules import Module
from mlip_lammps.families.nequip.settings import design_of
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph

COMPILED = ("averages", "two_orders", "in_float64", "packaged")
"""Models that are compiled; the others differ from them in what the reference shows."""


@pytest.mark.parametrize("case", [*NEQUIP, *NEQUIP_OLD, *NEQUIP_PACKAGES])
def test_the_reference_gives_the_results_of_nequip(case):
    model = trained(case)
    reference = family_of(model).reference(model)
    assert family_of(model).name == "nequip"
    for atoms, expected in results_of_package(case):
        assert_equals_package(reference.evaluate(atoms), atoms, expected)


@pytest.mark.parametrize("case", COMPILED)
def test_a_compiled_file_gives_the_results_of_nequip(case):
    model = CompiledModel(compiled_model(file_of(case), dtype="float64"), n_threads=1)
    for atoms, expected in results_of_package(case):
        assert_equals_package(model.evaluate(build_graph(atoms, model.cutoff)), atoms, expected)


@pytest.mark.parametrize("case", ["in_float64", "packaged"])
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(case, n_ranks):
    assert_lammps_equals_the_reference(case, n_ranks)


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
        ({"_target_": "allegro.model.AllegroModel"}, "allegro.model.AllegroModel: Allegro .* another architecture"),
        ({"_target_": "nequip.model.ZBLPairPotential"}, "was built with nequip.model.ZBLPairPotential"),
        ({"_target_": "nequip.model.PresetNequIPGNNModel", "preset": "XXL"}, "the preset XXL; known are S, M, L, XL"),
        ({"pair_potential": {"_target_": "nequip.nn.pair_potential.LennardJones"}}, "pair potential .*LennardJones"),
        ({"pair_potential": {"_target_": "nequip.nn.pair_potential.ZBL", "screening": 1}}, "unknown setting screening"),
        ({"readout_mlp_hidden_layers_depth": 1, "readout_mlp_nonlinearity": "ssp"}, "activation ssp in its readout"),
        ({"convnet_nonlinearity_type": "norm"}, "has no gates"),
        ({"convnet_nonlinearity_gates": {"e": "silu", "o": "abs"}}, "gate activations silu and abs"),
        ({"convnet_resnet": True}, "residual updates"),
        ({"learnable_shift": True}, "a learnable shift"),
        ({"categorical_graph_field_embed": [{"field": "charge"}]}, "an embedding of fields of the whole system"),
        ({"long_range": True}, "the setting long_range, which this package does not know"),
        ({"type_names": ["Si", "oxygen", "H"]}, "the type oxygen, which is not an element"),
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
        ({"avg_num_neighbors": {"Si": 4.0}}, "avg_num_neighbors of .* has other types"),
        ({"avg_num_neighbors": -1.0}, "avg_num_neighbors of .* expected numbers above 0"),
        ({"per_edge_type_cutoff": {"Si": 3.0}}, "has 1 cutoffs of pairs, expected 9"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, settings, message):
    with pytest.raises(ModelFileError, match=message):
        read_model(changed(tmp_path, "two_orders", settings))


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nequip.train.ScheduleFreeLightningModule", "schedule-free optimizer.* nequip-package build"),
        ("my_package.MyModule", "was trained with my_package.MyModule, whose weights to use are not known"),
    ],
)
def test_a_training_with_other_weights_is_refused(tmp_path, target, message):
    content = torch.load(file_of("two_orders"), weights_only=False)
    content["hyper_parameters"]["info_dict"]["training_module"] = {"_target_": target}
    torch.save(content, tmp_path / "changed.ckpt")
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(tmp_path / "changed.ckpt")


def test_a_preset_is_its_settings():
    common = {"type_names": ["O", "H"], "r_max": 5.0, "model_dtype": "float32", "avg_num_neighbors": 20.0}
    preset = {"_target_": "nequip.model.PresetNequIPGNNModel", "preset": "m", "num_layers": 3}
    explicit = {
        "_target_": "nequip.model.NequIPGNNModel", "num_layers": 3, "l_max": 2, "num_features": [128, 64, 32],
        "parity": False, "type_embed_num_features": 32, "radial_mlp_depth": 1, "radial_mlp_width": 128,
    }  # fmt: skip
    found, expected = (design_of(common | one, "x.ckpt", "0.19.1") for one in (preset, explicit))
    assert found == expected
    assert design_of(common | explicit | {"parity": True}, "x.ckpt", "0.19.1") != expected


def test_defaults_are_those_of_the_version_that_wrote_a_checkpoint():
    settings = {"_target_": "nequip.model.NequIPGNNModel", "type_names": ["O"], "r_max": 5.0, "parity": False}
    new, old = (design_of(settings, "x.ckpt", version) for version in ("0.17.0", "0.15.0"))
    assert new.radial_widths[0] == (128,)
    assert old.radial_widths[0] == (64, 64)
    assert new.has_odd_harmonics
    assert not old.has_odd_harmonics


def test_an_old_repulsion_that_newer_versions_change_is_refused(tmp_path):
    pair = {"_target_": "nequip.nn.pair_potential.ZBL", "units": "metal", "chemical_species": ["O", "H"]}
    settings = {"pair_potential": pair, "polynomial_cutoff_p": 5}
    with pytest.raises(UnsupportedModelError, match=r"NequIP 0.9.0, whose ZBL .* give the .nequip.zip file"):
        read_model(changed(tmp_path, "checkpoint_0_9", settings))


@pytest.mark.parametrize(
    ("modifiers", "message"),
    [
        ([{"modifier": "add_something"}], "the modifier add_something, which is not supported"),
        (5, "the modifiers of .* are no list"),
    ],
)
def test_an_unsupported_modifier_is_named(tmp_path, modifiers, message):
    inner = torch.load(file_of("two_orders"), weights_only=False)["hyper_parameters"]["model"]
    settings = {"_target_": "nequip.model.modify", "modifiers": modifiers, "model": inner}
    with pytest.raises((UnsupportedModelError, ModelFileError), match=message):
        read_model(changed(tmp_path, "two_orders", settings))


def test_kernels_for_a_gpu_do_not_change_a_model(tmp_path):
    inner = torch.load(file_of("two_orders"), weights_only=False)["hyper_parameters"]["model"]
    modifiers = [{"modifier": "enable_OpenEquivariance"}, {"modifier": "disable_ForceStressOutput"}]
    settings = {"_target_": "nequip.model.modify", "modifiers": modifiers, "model": inner}
    found = read_model(changed(tmp_path, "two_orders", settings))
    assert found.content_digest() == trained("two_orders").content_digest()


def test_a_training_from_a_checkpoint_takes_its_settings(tmp_path):
    shutil.copy(file_of("in_float64"), tmp_path / "first.ckpt")
    content = torch.load(file_of("in_float64"), weights_only=False)
    content["hyper_parameters"]["model"] = {
        "_target_": "nequip.model.ModelFromCheckpoint", "checkpoint_path": "/elsewhere/first.ckpt",
    }  # fmt: skip
    torch.save(content, tmp_path / "second.ckpt")
    assert read_model(tmp_path / "second.ckpt").content_digest() == trained("in_float64").content_digest()


def test_a_training_from_a_package_needs_the_package(tmp_path):
    shutil.copy(file_of("tuned"), tmp_path / "tuned.ckpt")
    with pytest.raises(UnsupportedModelError, match=r"from packaged.nequip.zip, which is missing; put it beside"):
        read_model(tmp_path / "tuned.ckpt")
    assert trained("tuned").content_digest() != trained("packaged").content_digest()


def package_with(tmp_path, replace):
    """Return a copy of a package with other bytes in its model and its metadata."""
    path = tmp_path / "changed.nequip.zip"
    with zipfile.ZipFile(file_of("packaged")) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            for old, new in replace.items():
                if "/model/" in name:
                    content = content.replace(old, new)
            target.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"pair_potential\nZBL", b"pair_potential\nLennardJones", "pair_potential.LennardJones, .* supports ZBL"),
        (b"cnequip.nn.norm\nAvg", b"cnequip.nn.norm\nOther", "supports AvgNumNeighborsNorm there"),
        (b"cnequip.nn.mlp\n", b"callegro.nn.mlp\n", "is a model of Allegro"),
        (b"cnequip.nn.mlp\n", b"cmy_package.mlp\n", "which is not a class of NequIP"),
        (b"component", b"integral_", "normalization of .* is integral_"),
        (b"uvu", b"uuu", "is another tensor product"),
        (b"ctorch.nn.modules.activation\nSiLU", b"ctorch.nn.modules.activation\nMish", "has the activation mish"),
        (b"shifted_softplus", b"other_softplus", "has the activation nequip.nn.nonlinearities.other_softplus"),
        (b"total_energy_sum", b"long_range_term_", "has the module long_range_term_, and"),
        (b"e3nn: 0.6.0", b"e3nn: 0.4.4", "packaged with e3nn 0.4.4, expected 0.5 or newer"),
        (b"float64", b"float16", "has the precision float16"),
    ],
)
def test_a_package_of_another_model_is_refused(tmp_path, old, new, message):
    assert package_with(tmp_path, {}).stat().st_size > 0
    with pytest.raises(UnsupportedModelError, match=message):
        read_model(package_with(tmp_path, {old: new}))


def test_a_package_without_a_readable_model_is_damaged(tmp_path):
    with pytest.raises(ModelFileError, match="lacks the attribute type_names"):
        read_model(package_with(tmp_path, {b"type_names": b"type_nomen"}))
    with zipfile.ZipFile(tmp_path / "empty.nequip.zip", "w") as archive:
        archive.writestr("model/.data/extern_modules", "")
        archive.writestr("model/nequip/nn/__init__.py", "")
    with pytest.raises(UnsupportedModelError, match="packaged with e3nn of unknown version"):
        read_model(tmp_path / "empty.nequip.zip")


def test_modules_that_contain_each_other_are_refused():
    archive = SimpleNamespace(name="x.nequip.zip")
    record = Record("nequip.nn.graph_model.GraphModel", (), {"_modules": {}})
    record.state["_modules"] |= {"one": record, "two": record}
    with pytest.raises(ModelFileError, match="has more than 20000 modules"):
        list(Module(record, archive).walk())


def test_facts_of_a_package_name_the_programs_that_wrote_it():
    model = trained("packaged")
    facts = model.facts()
    assert family_of(model).form_of(file_of("packaged")) == "NequIP package"
    assert family_of(model).form_of(file_of("averages")) == "NequIP checkpoint"
    assert facts["packaged_with"] == "nequip 0.19.1, e3nn 0.6.0, torch 2.13.0+cpu"
    assert trained("package_0_9").spec.made_by == "NequIP 0.9.0"


def test_a_compiled_file_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.nequip.pt2", "w") as archive:
        archive.writestr("model/data/aotinductor/model/x.wrapper_metadata.json", '{"type_names": "O H"}')
    with pytest.raises(UnsupportedModelError, match=r"compiled by nequip-compile .* or the packaged file"):
        read_model(tmp_path / "model.nequip.pt2")


def test_reading_does_not_import_torch():
    assert not reading_imports_torch(file_of("averages"))
    assert not reading_imports_torch(file_of("packaged"))
