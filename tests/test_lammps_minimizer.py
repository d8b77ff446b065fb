"""Relaxation with LAMMPS gives what ASE gives, in any orientation, with fixed atoms and a moving cell."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLength

from mlip_lammps import LammpsSession, MlipCalculator
from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.engines.lammps.process import find_program
from mlip_lammps.workflows import Tasks, elastic_tensor, minimize, relax
from mlip_lammps.workflows.lammps_minimizer import minimize_all


@pytest.fixture(scope="module")
def silicon() -> MlipCalculator:
    return MlipCalculator(compiled_model("silicon-pbe", dtype="float64"))


@pytest.fixture(scope="module")
def turned() -> Atoms:
    """Return a rattled, sheared and rotated crystal."""
    atoms = bulk("Si", a=5.5, cubic=True) * (2, 1, 1)
    atoms.rattle(0.05, seed=1)
    atoms.set_cell(atoms.cell[:] @ np.array([[1.01, 0.01, 0], [0, 0.99, 0.02], [0, 0, 1]]), scale_atoms=True)
    atoms.rotate(30, (1, 2, 3), rotate_cell=True)
    return atoms


@pytest.mark.parametrize(
    "options", [{}, {"cell": "isotropic"}, {"cell": "free"}, {"cell": "free", "pressure_gpa": 5.0}], ids=str
)
def test_lammps_relaxes_to_the_minimum_of_ase(options, silicon, turned):
    found = minimize(turned, silicon, n_ranks=2, force_tolerance=5e-4, **options)
    expected = relax(turned, silicon, force_tolerance=5e-4, **options)
    assert found.energy == pytest.approx(expected.energy, abs=1e-3)
    assert found.energy_before == pytest.approx(expected.energy_before, abs=1e-7)
    np.testing.assert_allclose(found.atoms.cell.cellpar(), expected.atoms.cell.cellpar(), atol=5e-3)
    # a free cell may turn
    distances = (result.atoms.get_all_distances(mic=True) for result in (found, expected))
    np.testing.assert_allclose(*distances, atol=5e-3)
    again = found.atoms.copy()
    again.calc = silicon
    assert again.get_potential_energy() == pytest.approx(found.energy, abs=1e-7)
    np.testing.assert_allclose(again.get_forces(), found.forces, atol=1e-6)
    if options.get("cell") == "free":
        assert found.pressure_gpa == pytest.approx(options.get("pressure_gpa", 0), abs=0.02)
        np.testing.assert_allclose(again.get_stress(), found.stress, atol=1e-7)


@pytest.mark.parametrize("pbc", [True, (True, True, False)])
def test_fixed_atoms_of_a_slab_stay(pbc):
    nickel = MlipCalculator(compiled_model("nickel-co2-pbe", dtype="float64"))
    slab = fcc100("Ni", (2, 2, 4), a=3.45, vacuum=8.0, periodic=True)
    slab.rattle(0.03, seed=2)
    slab.pbc = pbc
    slab.set_constraint(FixAtoms(range(8)))
    found, expected = minimize(slab, nickel, style="fire"), relax(slab, nickel)
    np.testing.assert_array_equal(found.atoms.positions[:8], slab.positions[:8])
    np.testing.assert_allclose(found.atoms.positions, expected.atoms.positions, atol=5e-3)
    assert found.largest_force < 1e-3
    assert found.atoms.constraints


def test_what_lammps_cannot_do_is_refused(silicon, turned):
    with pytest.raises(UserInputError, match="EMT has no model file"):
        minimize(bulk("Cu"), EMT())
    with pytest.raises(UserInputError, match="LAMMPS cannot relax a cell 'free' with style 'fire'"):
        minimize(turned, silicon, cell="free", style="fire")
    bound = turned.copy()
    bound.set_constraint(FixBondLength(0, 1))
    with pytest.raises(UserInputError, match="other constraints than FixAtoms"):
        minimize(bound, silicon)
    with pytest.raises(MlipError, match="did not relax in 1 steps of LAMMPS: the largest force is"):
        minimize(turned, silicon, max_steps=1)


def test_a_minimization_that_needs_more_steps_continues_from_its_last_geometry(silicon, turned, tmp_path):
    tasks, options = Tasks(tmp_path), {"cell": "isotropic"}
    failed = minimize_all({"si": turned}, silicon, tasks=tasks, max_steps=5, **options)["si"]
    assert isinstance(failed, MlipError)
    found = minimize_all({"si": turned}, silicon, tasks=tasks, **options)["si"]
    whole = minimize(turned, silicon, **options)
    assert found.n_steps < whole.n_steps
    assert found.energy == pytest.approx(whole.energy, abs=1e-3)
    assert found.energy_before == pytest.approx(whole.energy_before)


def test_the_command_runs_lammps(turned, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ase.io.write("si.extxyz", turned)
    command = ["relax", "silicon-pbe", "si.extxyz", "--engine", "lammps", "--ranks", "2"]
    assert main(command) == 0
    assert json.loads(Path("out/relax/results.json").read_text())["si"]["largest_force"] < 1e-3
    assert main([*command, "--keep-symmetry", "--out", "b"]) == 2
    assert "--engine lammps supports no" in capsys.readouterr().err


def test_an_interrupted_command_ends_its_ranks_and_continues(tmp_path, silicon):
    for number in range(6):
        atoms = bulk("Si", a=5.5, cubic=True) * (2, 2, 2)
        atoms.rattle(0.15, seed=number)
        ase.io.write(tmp_path / f"si-{number}.extxyz", atoms)
    files = [f"si-{number}.extxyz" for number in range(6)]
    command = [find_program("mlip-lammps"), "relax", "silicon-pbe", *files, "--ranks", "2", "--cell", "free"]
    # a shell starts its background jobs with interrupts ignored
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    tasks, deadline = tmp_path / "out/relax/tasks", time.monotonic() + 120
    while not list(tasks.glob("*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    record = json.loads((tmp_path / "out/relax/run.json").read_text())
    assert record["status"] == "interrupted"
    kept = {file: os.stat(file).st_mtime_ns for file in tasks.glob("*.json")}
    assert 1 <= len(kept) < 6
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=True)
    assert f"relaxing: 6, {len(kept)} of them finished before" in again.stdout
    assert {file: os.stat(file).st_mtime_ns for file in kept} == kept
    record = json.loads((tmp_path / "out/relax/run.json").read_text())
    assert record["status"] == "finished"


def test_elastic_constants_equal_those_of_deformed_boxes_in_lammps(silicon):
    """LAMMPS strains its own box and relaxes the ions, as its example ELASTIC does."""
    crystal = relax(bulk("Si", a=5.47, cubic=True), silicon, cell="isotropic", force_tolerance=1e-5).atoms
    length, strain, slopes = crystal.cell[0, 0], 2e-3, []
    with LammpsSession() as session:
        for change, names in (("x delta 0 {}", ("pxx", "pyy")), ("yz delta {}", ("pyz",))):
            pressures = []
            for signed in (strain, -strain):
                session.set_structure(crystal)
                session.set_model(silicon.model.path)
                session.run_commands(f"""
                    change_box all triclinic
                    change_box all {change.format(signed * length)} remap units box
                    thermo_style custom step pe press pxx pyy pyz
                    minimize 0 1e-7 500 5000
                    """)
                pressures.append([session.lammps.get_thermo(name) for name in names])
            slopes += list((np.array(pressures[1]) - pressures[0]) / (2 * strain) / 1e4)
    assert elastic_tensor(crystal, silicon).cubic() == pytest.approx(slopes, rel=5e-3)
