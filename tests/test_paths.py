"""Tools in folders whose names LAMMPS would damage in an input: blanks, quotes, letters outside ASCII.

``test_export.py`` exports a file with such a name to another.
"""

import math
import shutil
from pathlib import Path

import pytest
from lammps_run import run_driver

from mlip_lammps import MlipCalculator
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.verify.physics_checks import LmpRun, _run_dynamics
from mlip_lammps.workflows.estimate import lammps_peak_bytes

NAMES = ["Größe 水", "it's a $name # here"]


@pytest.fixture(params=NAMES)
def model(request, compile_once, tmp_path) -> Path:
    """A model file in a folder of that name."""
    folder = tmp_path / request.param
    folder.mkdir()
    return Path(shutil.copy(compile_once("two_layers"), folder / "model é.pt2"))


def test_a_session_takes_a_model_from_any_folder(model, tmp_path):
    atoms = rattled_triclinic(("H", "O"), seed=1)
    atoms.calc = MlipCalculator(model, n_threads=1)
    done = run_driver("lammps_paths.py", 2, tmp_path, model)
    assert float(done.output.split()[-1]) == pytest.approx(atoms.get_potential_energy(), abs=1e-9)


def test_estimate_takes_a_model_from_any_folder(model):
    assert lammps_peak_bytes(model, rattled_triclinic(("H", "O"), seed=1), ("H", "O")) > 0


def test_dynamics_of_verify_take_a_model_from_any_folder(model):
    atoms = rattled_triclinic(("H", "O"), seed=1)
    rows = _run_dynamics(LmpRun(model, "cell", atoms, 2, 60.0), 1e-5, 2)
    assert [len(run) for run in rows] == [3, 3]
    assert math.isfinite(rows[0][0]["TotEng"])
