"""Training with mace-torch from previously trained weights."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
import yaml
from ase.build import molecule

from mlip_lammps.families import read_model
from mlip_lammps.families.mace import write_portable
from mlip_lammps.testing.random_models import RESIDUAL, random_model

TRAIN = Path(__file__).parents[2] / "training" / "train.py"
SHAPE = {
    "model": "ScaleShiftMACE", "hidden_irreps": "4x0e", "max_ell": 1, "correlation": 2, "num_interactions": 2,
    "r_max": 3.0, "radial_MLP": "[8]", "MLP_irreps": "4x0e", "E0s": "average", "default_dtype": "float64",
    "batch_size": 4, "valid_batch_size": 4, "seed": 7, "max_num_epochs": 1, "eval_interval": 1,
}  # fmt: skip


@pytest.fixture
def configuration(tmp_path):
    """Return settings for one epoch on rattled water; stage 2 has a learning rate of zero."""
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


def test_training_starts_from_the_weights_of_a_portable_file(peer, configuration, tmp_path):
    """By default, mace-torch starts from random weights and the averages of the data."""
    given = random_model(
        ("H", "O"), "4x0e", l_max=1, correlation=2, n_layers=2, cutoff=SHAPE["r_max"], n_basis=8, radial_widths=(8,),
        interaction=RESIDUAL, avg_num_neighbors=3.0,
    )  # fmt: skip
    write_portable(given, tmp_path / "given.safetensors")
    words = "--stage", "2", "--weights", tmp_path / "given.safetensors"
    peer(TRAIN, configuration, tmp_path, tmp_path / "again", *words)
    again = read_model(tmp_path / "again" / "tiny.model")
    assert again.weights.keys() == given.weights.keys()
    assert [layer.avg_num_neighbors for layer in again.spec.layers] == [3.0, 3.0]
    for name, weight in given.weights.items():
        np.testing.assert_allclose(again.weights[name], weight, rtol=1e-12, atol=1e-12, err_msg=name)
