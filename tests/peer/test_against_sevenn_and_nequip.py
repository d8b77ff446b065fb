"""SevenNet and NequIP in an interpreter of their own: committed results, and the reference for new checkpoints."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from package_files import NEQUIP, SEVENNET, file_of, head_of, results_of_package

from mlip_lammps.families import family_of, read_model, select_head
from mlip_lammps.testing import tolerances

SCRIPTS = {"sevennet": SEVENNET, "nequip": NEQUIP}
"""Cases of each ``NAME_models.py``."""
NEEDS_SOURCES = ("tuned",)
"""Cases that NequIP reads with the sources of a package only, which are not committed."""
TIME_LIMIT_S = 600


@pytest.fixture(scope="session")
def package():
    """Return a function that runs a script with the interpreter of the packages; skip without one."""
    default = Path(__file__).resolve().parents[2] / ".venv-sevenn" / "bin" / "python"
    interpreter = Path(os.environ.get("MLIP_LAMMPS_SEVENN_PYTHON", default))
    if not interpreter.exists():
        pytest.skip(f"no interpreter with SevenNet and NequIP at {interpreter}; make it with: make peer-sevenn")
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)

    def run(name: str, command: str, folder: Path) -> None:
        script = Path(__file__).with_name(f"{name}_models.py")
        done = subprocess.run(
            [interpreter, "-W", "ignore", script, command, folder],
            env=environment, capture_output=True, text=True, timeout=TIME_LIMIT_S, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.fail(f"{script.name} {command} failed\n{done.stderr[-3000:]}")

    return run


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    n_atoms = len(expected["forces"])
    assert abs(found["energy"] - expected["energy"]) / n_atoms < tolerances.PACKAGE_ENERGY_PER_ATOM
    assert np.abs(found["forces"] - expected["forces"]).max() < tolerances.PACKAGE_FORCE


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_package_repeats_the_committed_results(package, tmp_path, name):
    cases = [case for case in SCRIPTS[name] if case not in NEEDS_SOURCES]
    for case in cases:
        (tmp_path / file_of(case).name).write_bytes(file_of(case).read_bytes())
    package(name, "evaluate", tmp_path)
    for case in cases:
        pairs = zip(results_of_package(case, tmp_path), results_of_package(case), strict=True)
        for (_, found), (_, expected) in pairs:
            assert_equal(found, expected)


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_reference_equals_the_package_for_new_checkpoints(package, tmp_path, name):
    package(name, "create", tmp_path)
    package(name, "evaluate", tmp_path)
    for case in (*SCRIPTS[name], *(["packaged"] if name == "nequip" else [])):
        trained = select_head(read_model(tmp_path / file_of(case).name), head_of(case))
        reference = family_of(trained).reference(trained)
        for atoms, expected in results_of_package(case, tmp_path):
            found = reference.evaluate(atoms)
            assert_equal({"energy": found.energy, "forces": found.forces}, expected)
