"""Training from weights that were trained before, by mace-torch itself."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from ase.build import molecule

from mlip_lammps.checkpoint import read_model, write_portable

TRAIN = Path(__file__).parents[2] / "training" / "train.py"
SHAPE = {
    "model": "ScaleShiftMACE", "hidden_irreps": "4x0e", "max_ell": 1, "correlation": 2, "num_interactions": 2,
    "r_max": 3.0, "radial_MLP": "[8]", "MLP_irreps": "4x0e", "E0s": "average", "default_dtype": "float64",
    "batch_size": 4, "valid_batch_size": 4, "seed": 7, "max_num_epochs": 1, "eval_interval": 1,
}  # fmt: skip


@pytest.fixture
def configuration(tmp_path):
    """Settings of a training of one epoch on rattled water; stage 2 learns nothing."""
    rng, frames = np.random.default_rng(0), []
    for _ in range(12):
        atoms = molecule("H2O", vacuum=4.0)
        atoms.rattle(0.05, rng=rng)
        atoms.info["REF_energy"] = -14.0 + 0.1 * rng.normal()
        atoms.arrays["REF_forces"] = rng.normal(size=(3, 3))
        frames.append(atoms)
    ase.io.write(tmp_path / "water.xyz", frames, format="extxyz")
    file = tmp_path / "tiny.yaml"
    settings = {
        "data": [{"file": "water.xyz", "split": {"n_valid": 2, "n_test": 2, "seed": 1}}],
        "mace": SHAPE,
        "stages": [{"lr": 0.01}, {"lr": 0.0}],
    }
    file.write_text(yaml.safe_dump(settings))
    return file


def test_a_training_begins_from_the_weights_of_a_portable_file(peer, configuration, tmp_path):
    """The first training left the weights of the seed, from which the second would begin of itself."""

    def train(folder: str, *options: str | Path):
        peer(TRAIN, configuration, tmp_path, tmp_path / folder, *options)
        return read_model(tmp_path / folder / "tiny.model")

    first = train("first")
    write_portable(first, tmp_path / "first.safetensors")
    again = train("again", "--stage", "2", "--weights", tmp_path / "first.safetensors")
    assert again.spec == first.spec
    for name, weight in first.weights.items():
        np.testing.assert_allclose(again.weights[name], weight, rtol=1e-12, atol=1e-12, err_msg=name)
