"""Lattice thermal conductivity, with ASE's EMT and the shipped silicon model."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows import Tasks, lattice_conductivity, relax
from mlip_lammps.workflows.crystals import conductivity

pytest.importorskip("phono3py")


@pytest.fixture(scope="module")
def copper():
    return relax(bulk("Cu", a=3.59, cubic=True), EMT(), cell="isotropic", force_tolerance=1e-6).atoms


def test_the_conductivity_of_a_cubic_crystal_is_isotropic_and_falls_with_the_temperature(copper, tmp_path):
    tasks = Tasks(tmp_path)
    options = {"mesh": (5, 5, 5), "temperatures": (300, 600, 1200)}
    found = lattice_conductivity(copper, EMT(), (2, 2, 2), tasks=tasks, **options)
    kappa = found.conductivity_w_per_m_k
    np.testing.assert_allclose(kappa[:, :3], found.mean_w_per_m_k[:, None] * np.ones(3), rtol=1e-6)
    np.testing.assert_allclose(kappa[:, 3:], 0.0, atol=1e-6)
    # far above the Debye temperature, lifetimes are inversely proportional to the temperature
    assert kappa[2, 0] == pytest.approx(kappa[1, 0] / 2, rel=0.02)
    files = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.json")}
    assert len(files) == found.n_displacements
    again = lattice_conductivity(copper, EMT(), (2, 2, 2), tasks=tasks, **options)
    np.testing.assert_array_equal(again.conductivity_w_per_m_k, kappa)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*.json")} == files


def test_force_constants_fitted_to_snapshots_give_the_conductivity_of_pairs(copper):
    options = {"mesh": (5, 5, 5), "temperatures": (300,), "displacement": 0.01}
    pairs = lattice_conductivity(copper, EMT(), (2, 2, 2), **options)
    fitted = lattice_conductivity(copper, EMT(), (2, 2, 2), n_snapshots=8, **options)
    assert fitted.n_displacements == 8
    # EMT is not smooth: other displacements change the conductivity of pairs by as much
    assert fitted.mean_w_per_m_k[0] == pytest.approx(pairs.mean_w_per_m_k[0], rel=0.06)


def test_an_unstable_crystal_and_a_missing_package_are_refused(monkeypatch, copper):
    cubic = relax(bulk("Cu", "sc", a=2.4), EMT(), cell="isotropic").atoms
    with pytest.raises(MlipError, match="a frequency is imaginary"):
        lattice_conductivity(cubic, EMT(), (2, 2, 2), mesh=(4, 4, 4))
    monkeypatch.setattr(conductivity, "find_spec", lambda name: None)
    with pytest.raises(UserInputError, match=r"phono3py is not installed; run pip install"):
        lattice_conductivity(copper, EMT())


def test_the_command_computes_the_conductivity_of_silicon(tmp_path, monkeypatch, capsys):
    """A denser mesh gives more: 130 W/m/K with 15 points along each axis; experiments give 148."""
    monkeypatch.chdir(tmp_path)
    ase.io.write("si.extxyz", bulk("Si", a=5.469, cubic=True))
    command = "phonons silicon-pbe si.extxyz --anharmonic --mesh 7 7 7 --t-max 300 --ranks 2"
    assert main(command.split()) == 0
    assert "conductivity, 300 K" in capsys.readouterr().out
    found = json.loads(Path("out/phonons/results.json").read_text())["conductivity"]
    assert found["n_displacements"] == 111
    assert found["mean_w_per_m_k"][-1] == pytest.approx(95, abs=3)
    assert Path("out/phonons/conductivity.png").is_file()
    assert Path("out/phonons/phono3py_params.yaml").is_file()
