"""Files of mace-torch that the reader takes as mace-torch does, and those that it refuses by name."""

import contextlib

import pytest
from mace_torch_models import UNSUPPORTED

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families import read_model

WORDS = {
    "nonlinear": "RealAgnosticResidualNonLinearInteractionBlock",
    "gaussian": "Gaussian",
    "chebyshev": "Chebyshev",
    "older_repulsion": "pair_repulsion_fn.* has one cutoff for all pairs",
    "heads": r"2 heads \(pbe, scan\).*mace_select_head",
    "last_readout": "use_last_readout_only",
    "agnostic": "use_agnostic_product",
    "so3": "use_so3",
    "edge_irreps": "edge_irreps",
    "tanh": "gate",
    "embedding": "embedding_specs",
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


def test_neighbour_count_may_be_a_numpy_number(peer_folder):
    spec = read_model(peer_folder / "numbers.model").spec
    assert [layer.avg_num_neighbors for layer in spec.layers] == [9.7]


def test_a_file_cut_off_anywhere_is_refused(peer_folder, tmp_path):
    content = (peer_folder / "numbers.model").read_bytes()
    for size in (1, 30, len(content) // 2, len(content) - 1):
        path = tmp_path / f"cut_{size}.model"
        path.write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            read_model(path)


def test_flipped_bits_are_refused_or_harmless(peer_folder, tmp_path):
    content = bytearray((peer_folder / "numbers.model").read_bytes())
    path = tmp_path / "flipped.model"
    for position in range(0, len(content), len(content) // 97):
        content[position] ^= 0x15
        path.write_bytes(content)
        # Any other exception fails the test.
        with contextlib.suppress(ModelFileError, UnsupportedModelError):
            read_model(path)
        content[position] ^= 0x15
