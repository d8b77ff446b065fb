"""Dynamics: energy conservation, and restarts after a killed rank."""

import os
import shutil
import time

import numpy as np
import pytest
from lammps_restart import kill_one_rank, newest_complete, ranks_in
from lammps_run import finish, lammps_command, run_lammps, start
from lammps_structures import write_data

from mlip_lammps.core.errors import MlipError
from mlip_lammps.engines.lammps.process import ThermoReader
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
N_STEPS = 200
KILLED_AFTER = 100
SECONDS_TO_END = 10.0
"""Time limit in s from the death of one rank to the end of all ranks."""
RELATIVE = 1e-8
RATIOS = (3.6, 4.4)
"""Ratio of the energy fluctuations at one and at half the time step: 4 for second-order integration of exact forces."""


@pytest.fixture(scope="module")
def model(compile_once):
    return compile_once("two_layers")


def dynamics(model, runs: str, *, timestep: float, has_restart: bool = False) -> str:
    atoms = "" if has_restart else "velocity all create 300 7 loop geom"
    return f"""pair_style mlip/torch
    pair_coeff * * {model} H O
    {atoms}
    fix motion all nve
    timestep {timestep:.17g}
    thermo_style custom step temp pe etotal press pxx pyy pzz pxy pxz pyz
    thermo_modify format float %.16g
    {runs}
    """


HEAD = "units metal\nread_data box.data\n"


def fluctuation_ratio(model, folder, fault: str = "") -> float:
    """Return the ratio of NVE energy fluctuations at one and half the time step, for equal start and duration."""
    write_data(folder / "box.data", rattled_triclinic(ELEMENTS, repeat=(2, 2, 3), rattle=0.05), ELEMENTS)
    fluctuations = []
    for divisor in (1, 2):
        text = HEAD + dynamics(model, f"{fault}\nthermo 1\nrun {divisor * 100}", timestep=1e-3 / divisor)
        rows = run_lammps(text, 2, folder).thermo
        fluctuations.append(np.std([row["TotEng"] for row in rows]))
        assert np.ptp([row["PotEng"] for row in rows]) > 100 * fluctuations[-1], "atoms that hardly move"
    return fluctuations[0] / fluctuations[1]


def test_energy_fluctuation_falls_fourfold_when_the_time_step_halves(model, tmp_path):
    assert RATIOS[0] < fluctuation_ratio(model, tmp_path) < RATIOS[1]


def test_force_errors_of_a_tenth_of_a_percent_change_that_ratio(model, tmp_path):
    fault = """variable x atom 0.001*fx
    variable y atom 0.001*fy
    variable z atom 0.001*fz
    fix fault all addforce v_x v_y v_z"""
    assert not RATIOS[0] < fluctuation_ratio(model, tmp_path, fault) < RATIOS[1]


def test_a_run_continues_after_a_killed_rank(model, tmp_path):
    write_data(tmp_path / "box.data", rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), rattle=0.05), ELEMENTS)
    restarts = [tmp_path / "a.restart", tmp_path / "b.restart"]
    runs = f"thermo 10\nrestart 25 a.restart b.restart\nrun {N_STEPS}"
    text = HEAD + dynamics(model, runs, timestep=5e-4)
    uninterrupted = run_lammps(text, 2, tmp_path).thermo[-1]
    for path in restarts:
        path.unlink()

    process = start(lammps_command("in.test", 2), tmp_path)
    reader, reached = ThermoReader(), -1.0
    for line in process.stdout:
        reached = (reader.read(line) or {}).get("Step", reached)
        if reached >= KILLED_AFTER:
            kill_one_rank(tmp_path)
            break
    done = finish(process, tmp_path, time_limit=SECONDS_TO_END)
    left = contents(tmp_path)
    assert done.code != 0
    assert f"{N_STEPS} steps" not in done.output, "the run was over before it was killed"
    time.sleep(1)  # the launcher ends before the system has removed the killed processes
    assert not ranks_in(tmp_path)
    assert contents(tmp_path) == left, "something was written after the end"

    plant_a_torn_file(newest_complete(restarts), tmp_path / "c.restart")
    last = newest_complete([*restarts, tmp_path / "c.restart"])
    text = f"read_restart {last.name}\n"
    text += dynamics(model, f"thermo 10\nrun {N_STEPS} upto", timestep=5e-4, has_restart=True)
    continued = run_lammps(text, 2, tmp_path).thermo
    assert reached - 50 <= continued[0]["Step"] < N_STEPS
    assert continued[-1]["Step"] == N_STEPS
    for name, value in uninterrupted.items():
        assert continued[-1][name] == pytest.approx(value, rel=RELATIVE), name


def contents(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def plant_a_torn_file(whole, torn) -> None:
    """Create a newer, incomplete restart file."""
    shutil.copy(whole, torn)
    os.truncate(torn, whole.stat().st_size - 100)


def test_an_incomplete_restart_file_is_never_chosen(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"half")
    with pytest.raises(MlipError, match="is a complete restart file"):
        newest_complete([tmp_path / "a", tmp_path / "b"])
