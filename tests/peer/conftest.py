"""Models and results of mace-torch, created once per run by its own interpreter."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("mace_torch_models.py")
TIME_LIMIT_S = 600


@pytest.fixture(scope="session")
def peer() -> Callable[..., None]:
    """Return a function that runs a script and its arguments with mace-torch's own interpreter."""
    default = REPOSITORY / ".venv-mace" / "bin" / "python"
    interpreter = Path(os.environ.get("MLIP_LAMMPS_MACE_PYTHON", default))
    if not interpreter.exists():
        pytest.fail(
            f"no mace-torch interpreter at {interpreter}; run `make test`, which makes it, "
            "or set MLIP_LAMMPS_MACE_PYTHON"
        )
    # e3nn 0.4.4, which mace-torch pins, loads its constants with pickle.
    environment = os.environ | {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)

    def run(*command: str | Path) -> None:
        done = subprocess.run(
            [interpreter, "-W", "ignore", *command],
            env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.fail(f"{Path(command[0]).name} failed; `make test` makes its environment\n{done.stderr[-3000:]}")

    return run


@pytest.fixture(scope="session")
def peer_folder(peer, tmp_path_factory) -> Path:
    """Return the folder with ``NAME.model`` and ``NAME.npz`` of every model of ``mace_torch_models.py``.

    The processes of a parallel run share it: their temporary folders lie in that of the run.
    """
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "mace_torch"
    with FileLock(f"{folder}.lock"):
        if not (finished := folder / "finished").exists():
            folder.mkdir(exist_ok=True)
            peer(SCRIPT, folder)
            finished.touch()
    return folder
