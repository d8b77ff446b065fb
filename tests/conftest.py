"""Small compiled models, shared by all tests of a session and kept in the cache of compiled models."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from mlip_lammps.checkpoint import TrainedModel, write_portable
from mlip_lammps.export import compiled_model
from mlip_lammps.testing.random_models import random_model

os.environ.setdefault("MLIP_LAMMPS_CACHE", str(Path(__file__).parent / ".cache"))

# Channels that differ from model to model and are no multiple of a vector's width; orders that differ by layer.
SHAPES = {
    "one_layer": dict(elements=("Si",), hidden_irreps="5x0e", l_max=1, correlation=2, n_layers=1, cutoff=3.5),
    "two_layers": dict(elements=("H", "O"), hidden_irreps="6x0e+6x1o", l_max=2, correlation=(3, 2), n_layers=2),
    "three_layers": dict(elements=("C", "O", "Ni"), hidden_irreps="4x0e+4x1o", l_max=1, correlation=2, n_layers=3),
    # Another member for a committee with two_layers: fewer layers, a shorter cutoff, the elements the other way round.
    "one_layer_of_two": dict(elements=("O", "H"), hidden_irreps="5x0e", l_max=1, correlation=2, n_layers=1, cutoff=3.5),
}

# What most tests run, in the order in which a whole session comes to need it.
MOST_USED = (
    ("two_layers", "float64"),
    ("one_layer", "float64"),
    ("three_layers", "float64"),
    ("two_layers", "mixed"),
    ("one_layer", "float32"),
    ("one_layer_of_two", "float64"),
    ("one_layer", "mixed"),
)
WHOLE_SESSION = 500
"""Tests; a session of fewer compiles what it needs, when it needs it."""


def pytest_collection_finish(session) -> None:
    """In a whole session, compile beside the tests: few of them keep more than one core busy."""
    if len(session.items) > WHOLE_SESSION and not session.config.option.collectonly:
        command = [sys.executable, Path(__file__)]
        session.config.compiling_ahead = subprocess.Popen(command, stdout=subprocess.DEVNULL)


def pytest_sessionfinish(session) -> None:
    if ahead := getattr(session.config, "compiling_ahead", None):
        ahead.terminate()
        ahead.wait()


def make_trained_models() -> dict[str, TrainedModel]:
    return {name: random_model(seed=number, **shape) for number, (name, shape) in enumerate(SHAPES.items())}


def write_all(models: dict[str, TrainedModel], folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.safetensors" for name in models}
    for name, path in paths.items():
        write_portable(models[name], path)
    return paths


@pytest.fixture(scope="session")
def trained_models() -> dict[str, TrainedModel]:
    """Return random models of one, two and three layers."""
    return make_trained_models()


@pytest.fixture(scope="session")
def portable_models(trained_models, tmp_path_factory) -> dict[str, Path]:
    """Return the portable files of ``trained_models``."""
    return write_all(trained_models, tmp_path_factory.mktemp("portable"))


@pytest.fixture(scope="session")
def compile_once(portable_models) -> Callable[..., Path]:
    """Return a function (name, dtype) -> compiled file."""

    def compile_model(name: str, dtype: str = "float64") -> Path:
        return compiled_model(portable_models[name], dtype=dtype)

    return compile_model


if __name__ == "__main__":
    with TemporaryDirectory() as scratch:
        files = write_all(make_trained_models(), Path(scratch))
        for name, dtype in MOST_USED:
            compiled_model(files[name], dtype=dtype)
