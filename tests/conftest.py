"""Small compiled models, shared by all tests of a session and stored in the cache of compiled models."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from slow_tests import is_slow, unknown

from mlip_lammps.compilation import compiled_model
from mlip_lammps.families.mace import MaceModel, write_portable
from mlip_lammps.testing.random_models import random_model

# Tests run in parallel: additional threads on busy cores would slow them down.
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start
torch.set_num_threads(1)
os.environ.setdefault("MLIP_LAMMPS_CACHE", str(Path(__file__).parent / ".cache"))

# Channel counts differ between models and are not multiples of the vector width; orders differ between layers.
SHAPES = {
    "one_layer": dict(elements=("Si",), hidden_irreps="5x0e", l_max=1, correlation=2, n_layers=1, cutoff=3.5),
    "two_layers": dict(elements=("H", "O"), hidden_irreps="6x0e+6x1o", l_max=2, correlation=(3, 2), n_layers=2),
    "three_layers": dict(elements=("C", "O", "Ni"), hidden_irreps="4x0e+4x1o", l_max=1, correlation=2, n_layers=3),
    # Another committee member for two_layers: fewer layers, a shorter cutoff, reversed elements.
    "one_layer_of_two": dict(elements=("O", "H"), hidden_irreps="5x0e", l_max=1, correlation=2, n_layers=1, cutoff=3.5),
}


@pytest.hookimpl(tryfirst=True)  # before pytest selects by markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests of ``slow_tests.py``, and refuse entries that name no test."""
    names: dict[str, list[str]] = {}
    for item in items:
        names.setdefault(item.path.name, []).append(item.name)
        if is_slow(item.path.name, item.name):
            item.add_marker(pytest.mark.slow)
    is_whole = not any("::" in argument for argument in config.args)
    if is_whole and (missing := [f"{file}: {entry}" for file in names for entry in unknown(file, names[file])]):
        raise pytest.UsageError(f"slow_tests.py names tests that do not exist: {missing}")


@pytest.fixture(scope="session")
def trained_models() -> dict[str, MaceModel]:
    """Return random models of one, two and three layers."""
    return {name: random_model(seed=number, **shape) for number, (name, shape) in enumerate(SHAPES.items())}


@pytest.fixture(scope="session")
def portable_models(trained_models, tmp_path_factory) -> dict[str, Path]:
    """Return the portable files of ``trained_models``."""
    folder = tmp_path_factory.mktemp("portable")
    paths = {name: folder / f"{name}.safetensors" for name in trained_models}
    for name, path in paths.items():
        write_portable(trained_models[name], path)
    return paths


@pytest.fixture(scope="session")
def compile_once(portable_models) -> Callable[..., Path]:
    """Return a function (name, dtype, device) -> compiled file."""

    def compile_model(name: str, dtype: str = "float64", device: str = "cpu") -> Path:
        return compiled_model(portable_models[name], dtype=dtype, device=device)

    return compile_model
