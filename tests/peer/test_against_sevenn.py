"""SevenNet's own interpreter against the committed results, and against the reference for newly made checkpoints."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from sevennet_files import CASES, FOLDER, file_of, results_of_sevennet

from mlip_lammps.families import family_of, read_model, select_head
from mlip_lammps.testing import tolerances

SCRIPT = Path(__file__).with_name("sevennet_models.py")
TIME_LIMIT_S = 600


@pytest.fixture(scope="session")
def sevennet():
    """Return a function that runs the script with SevenNet's interpreter; skip without one."""
    default = Path(__file__).resolve().parents[2] / ".venv-sevenn" / "bin" / "python"
    interpreter = Path(os.environ.get("MLIP_LAMMPS_SEVENN_PYTHON", default))
    if not interpreter.exists():
        pytest.skip(f"no SevenNet interpreter at {interpreter}; make it with: make peer-sevenn")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)

    def run(command: str, folder: Path) -> None:
        done = subprocess.run(
            [interpreter, "-W", "ignore", SCRIPT, command, folder],
            env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.fail(f"{SCRIPT.name} {command} failed\n{done.stderr[-3000:]}")

    return run


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    n_atoms = len(expected["forces"])
    assert abs(found["energy"] - expected["energy"]) / n_atoms < tolerances.SEVENNET_ENERGY_PER_ATOM
    assert np.abs(found["forces"] - expected["forces"]).max() < tolerances.SEVENNET_FORCE


def test_sevennet_repeats_the_committed_results(sevennet, tmp_path):
    for case in CASES:
        (tmp_path / file_of(case).name).write_bytes(file_of(case).read_bytes())
    sevennet("evaluate", tmp_path)
    for case in CASES:
        pairs = zip(results_of_sevennet(case, tmp_path), results_of_sevennet(case, FOLDER), strict=True)
        for (_, found), (_, expected) in pairs:
            assert_equal(found, expected)


def test_the_reference_equals_sevennet_for_new_checkpoints(sevennet, tmp_path):
    sevennet("create", tmp_path)
    sevennet("evaluate", tmp_path)
    for case, modal in CASES.items():
        trained = select_head(read_model(tmp_path / file_of(case).name), modal)
        reference = family_of(trained).reference(trained)
        for atoms, expected in results_of_sevennet(case, tmp_path):
            found = reference.evaluate(atoms)
            assert_equal({"energy": found.energy, "forces": found.forces}, expected)
