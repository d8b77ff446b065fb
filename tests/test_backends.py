"""The device of a model is known to its backend alone."""

import re
from pathlib import Path

import pytest

import mlip_lammps
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.kernels.backend import DEVICES, backend_of

PACKAGE = Path(mlip_lammps.__file__).parent
ASKS = re.compile(r"""(?:device|dtype_device)\W{0,3}\s*(?:==|!=|in)\s*\(?["'](?:cpu|cuda|emulated)|self\.kernels is""")
ALLOWED = ("mlip_lammps/model_file/archive.py",)
"""Says of a finished file whether it runs on a GPU."""


@pytest.mark.parametrize("device", DEVICES)
def test_every_device_has_a_backend(device):
    backend = backend_of(device)
    assert backend.runs_on in ("cpu", "cuda")
    assert backend.fingerprint()


def test_an_unknown_device_is_refused_with_the_list():
    with pytest.raises(UserInputError, match=r"tpu.*cpu, cuda"):
        backend_of("tpu")


def asks_for_the_device(source: str) -> bool:
    return ASKS.search(source) is not None


def test_nothing_besides_backends_asks_for_the_device():
    sources = {str(path.relative_to(PACKAGE.parent)): path.read_text() for path in PACKAGE.rglob("*.py")}
    found = [name for name, source in sources.items() if asks_for_the_device(source)]
    assert [name for name in found if name not in ALLOWED and "/kernels/" not in name] == []


@pytest.mark.parametrize(
    "source",
    [
        'if device == "cpu":',
        "if device != 'cuda':",
        'if metadata["device"] == "cuda":',
        "if self.kernels is not None:",
    ],
)
def test_a_question_for_the_device_is_found(source):
    assert asks_for_the_device(source)
