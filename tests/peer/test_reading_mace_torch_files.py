"""mace-torch files that the reader accepts, and unsupported ones that it refuses by name."""

import contextlib
import json
import re
import zipfile
from dataclasses import replace

import pytest
from mace_torch_models import OTHER_MODELS, UNSUPPORTED, WRAPPED

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families import inspect_model, read_model
from mlip_lammps.families.mace.reader.validation import check_model

WORDS = {
    "sin": "gate is not one of silu, tanh, abs and None",
    "cuequivariance": "converted for cuEquivariance .*python -m mace.cli.convert_cueq_e3nn .* --return_model",
    "openequivariance": "converted for OpenEquivariance .*python -m mace.cli.convert_oeq_e3nn .* --return_model",
    "embedding": "embedding_specs .* elec_temp",
    "embedding_of_atoms": "total_charge .continuous, per atom",
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_features_are_named(peer_folder, name):
    with pytest.raises(UnsupportedModelError, match=WORDS[name]):
        read_model(peer_folder / f"unsupported_{name}.model")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("state_dict.pt", "weights without a model"),
        ("checkpoint.pt", "weights without a model"),
        ("legacy.model", "before version 1.6"),
        ("not_finite.model", "not finite"),
    ],
)
def test_other_files_of_torch_are_refused_with_the_next_step(peer_folder, name, words):
    with pytest.raises(ModelFileError, match=words):
        read_model(peer_folder / name)


@pytest.mark.parametrize("name", WRAPPED)
def test_a_model_in_a_wrapper_is_the_model_itself(peer_folder, name):
    expected, found = read_model(peer_folder / "wrapped_not.model"), read_model(peer_folder / name)
    assert found.spec == expected.spec
    for key, array in expected.weights.items():
        assert found.weights[key].tobytes() == array.tobytes()


def test_a_model_saved_on_a_gpu_is_the_model_itself(peer_folder, tmp_path):
    """torch.save writes the device of each storage beside its type."""
    cpu, gpu = (b"X" + len(name).to_bytes(4, "little") + name for name in (b"cpu", b"cuda:0"))
    path = tmp_path / "gpu.model"
    with zipfile.ZipFile(peer_folder / "wrapped_not.model") as given, zipfile.ZipFile(path, "w") as written:
        for name in given.namelist():
            content = given.read(name)
            if name.endswith("/data.pkl"):
                assert content.count(cpu) == 1
                content = content.replace(cpu, gpu)
            written.writestr(name, content)
    expected, found = read_model(peer_folder / "wrapped_not.model"), read_model(path)
    assert found.spec == expected.spec
    assert all(found.weights[key].tobytes() == array.tobytes() for key, array in expected.weights.items())


@pytest.mark.parametrize("name", OTHER_MODELS)
def test_other_models_of_mace_torch_are_named(peer_folder, name):
    with pytest.raises(UnsupportedModelError, match=f"{name}, which .*predicts"):
        read_model(peer_folder / f"other_{name}.model")


def test_neighbour_count_may_be_a_numpy_number(peer_folder):
    spec = read_model(peer_folder / "numbers.model").spec
    assert [layer.avg_num_neighbors for layer in spec.layers] == [9.7]


def test_a_truncated_file_is_refused(peer_folder, tmp_path):
    content = (peer_folder / "numbers.model").read_bytes()
    for size in (1, 30, len(content) // 2, len(content) - 1):
        path = tmp_path / f"cut_{size}.model"
        path.write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            read_model(path)


def test_flipped_bits_give_an_error_or_no_change(peer_folder, tmp_path):
    content = bytearray((peer_folder / "numbers.model").read_bytes())
    path = tmp_path / "flipped.model"
    for position in range(0, len(content), len(content) // 97):
        content[position] ^= 0x15
        path.write_bytes(content)
        # Any other exception fails the test.
        with contextlib.suppress(ModelFileError, UnsupportedModelError):
            read_model(path)
        content[position] ^= 0x15


@pytest.mark.parametrize("name", ["sin", "embedding", "cuequivariance"])
def test_info_shows_what_is_known_of_a_refused_model(peer_folder, capsys, name):
    assert main(["info", str(peer_folder / f"unsupported_{name}.model"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["supported"] is False
    assert (facts["model_class"], facts["elements"], facts["cutoff"]) == ("ScaleShiftMACE", ["H", "O"], 4.3)
    assert (facts["heads"], facts["dtype"], facts["radial_basis"]) == (["Default"], "float64", "BesselBasis")
    assert any(re.search(WORDS[name], feature) for feature in [*facts["unsupported"], facts["reason"]])


def test_info_says_that_forces_of_chebyshev_bases_differ_from_those_of_mace_torch(peer_folder, capsys):
    assert main(["info", str(peer_folder / "chebyshev.model"), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["supported"] is True
    assert "differ from those of mace-torch" in facts["remark"]


def test_orders_of_chebyshev_polynomials_are_checked(peer_folder):
    trained = read_model(peer_folder / "chebyshev.model")
    name = "radial_embedding.bessel_fn.n"
    with pytest.raises(ModelFileError, match="expected whole numbers from 0 to 100"):
        check_model(replace(trained, weights=trained.weights | {name: trained.weights[name] + 0.5}))


def test_info_counts_the_parameters_that_mace_torch_counts(peer_folder):
    found = inspect_model(peer_folder / "unsupported_embedding.model")
    assert found["n_weights"] == int((peer_folder / "unsupported_embedding.txt").read_text())


@pytest.mark.parametrize(
    ("name", "made_by"),
    [("numbers", "mace-torch 0.3.15 or newer"), ("older_version", "mace-torch 0.3.0 to 0.3.6")],
)
def test_info_gives_the_versions_that_may_have_made_a_model(peer_folder, capsys, name, made_by):
    assert main(["info", str(peer_folder / f"{name}.model"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["made_by"] == made_by
