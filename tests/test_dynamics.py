"""Molecular dynamics as a command: interrupted runs continue bit for bit, bad input is refused, results are right."""

import json
import os
import random
import resource
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.constraints import FixAtoms, FixBondLength
from killed_runs import OUTPUT, VICTIMS, KilledRuns, contents

from mlip_lammps import MlipCalculator
from mlip_lammps.analysis.averages import Average, block_average
from mlip_lammps.analysis.lammps_trajectory import index_frames, read_frames
from mlip_lammps.analysis.motion import diffusion, vibrational_spectrum
from mlip_lammps.analysis.thermo import read_thermo_csv
from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows import DynamicsSettings, dynamics_results, run_dynamics
from mlip_lammps.workflows.dynamics.continuation import newest_point
from mlip_lammps.workflows.dynamics.results import _bound_atoms
from mlip_lammps.workflows.dynamics.settings import timestep_warnings

SHORT = {"time_ps": 0.08, "timestep_fs": 1.0, "restart_every": 20, "thermo_every": 5, "trajectory_every": 10}
CELL = bulk("Si", a=5.47, cubic=True)


@pytest.fixture(scope="module")
def silicon() -> MlipCalculator:
    return MlipCalculator(compiled_model("silicon-pbe", dtype="float64"))


@pytest.fixture(scope="module")
def crystal() -> Atoms:
    atoms = CELL * (2, 2, 2)
    atoms.rattle(0.03, seed=3)
    return atoms


@pytest.fixture(scope="module")
def tilted() -> Atoms:
    atoms = bulk("Si", a=5.47) * (3, 3, 3)
    atoms.rattle(0.03, seed=3)
    return atoms


def newest_restarts(folder: Path) -> list[Path]:
    return sorted((folder / "restarts").glob("*.restart"), key=lambda file: file.stat().st_mtime)[-1:]


def truncate(file: Path, share: float) -> None:
    os.truncate(file, int(share * file.stat().st_size))


ENSEMBLES = [
    {"ensemble": "nve"},
    {"thermostat": "langevin"},
    {"thermostat": "csvr"},
    {"temperature_end": 500.0},
    {"ensemble": "npt", "barostat": "aniso", "thermostat": "csvr"},
    {"ensemble": "npt", "barostat": "tri", "pressure_gpa": 1.0, "pressure_end_gpa": 2.0},
]


@pytest.mark.parametrize("options", ENSEMBLES, ids=str)
@pytest.mark.parametrize("name", ["crystal", "tilted"])
def test_a_run_continues_bit_for_bit_from_any_good_restart_file(name, options, silicon, tmp_path, request):
    atoms, settings = request.getfixturevalue(name), DynamicsSettings(**SHORT, **options)
    n_ranks, share = {"crystal": (2, 0.5), "tilted": (1, 0.8)}[name]
    run_dynamics(atoms, silicon, settings, tmp_path / "alone", n_ranks=n_ranks)
    expected = contents(tmp_path / "alone")
    # as after a power failure in the last block: newest files cut off, and the newest restart file damaged
    folder = tmp_path / "cut"
    shutil.copytree(tmp_path / "alone", folder)
    (folder / "restarts" / "80.restart").unlink()
    truncate(folder / "restarts" / "60.restart", share)
    truncate(folder / "trajectory.lammpstrj", 0.97)
    truncate(folder / "log.0.lammps", 0.8)
    assert newest_point(folder, settings) == 40
    run_dynamics(atoms, silicon, settings, folder, n_ranks=n_ranks)
    assert contents(folder) == expected


def test_output_that_is_missing_before_a_restart_file_is_written_again(silicon, crystal, tmp_path):
    settings = DynamicsSettings(**SHORT)
    run_dynamics(crystal, silicon, settings, tmp_path)
    expected = contents(tmp_path)
    truncate(tmp_path / "trajectory.lammpstrj", 0.1)
    assert newest_point(tmp_path, settings) == 0
    run_dynamics(crystal, silicon, settings, tmp_path)
    assert contents(tmp_path) == expected


def test_a_finished_run_is_not_repeated_and_a_longer_one_continues_it(silicon, crystal, tmp_path):
    settings = DynamicsSettings(**SHORT)
    run_dynamics(crystal, silicon, settings, tmp_path)
    run_dynamics(crystal, silicon, settings, tmp_path)
    assert not list(tmp_path.glob("log.[1-9]*"))
    run_dynamics(crystal, silicon, DynamicsSettings(**{**SHORT, "time_ps": 0.12}), tmp_path)
    assert [frame.step for frame in index_frames(tmp_path / "trajectory.lammpstrj")] == list(range(0, 121, 10))
    assert read_thermo_csv(tmp_path / "thermo.csv")["Step"].tolist() == list(range(0, 121, 5))
    before = contents(tmp_path)
    with pytest.raises(UserInputError, match=r"a run of 120 steps, longer than the 80 of time_ps 0.08"):
        run_dynamics(crystal, silicon, settings, tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_killed_run_leaves_no_process_and_continues_bit_for_bit(victim, silicon, crystal, tmp_path):
    settings = DynamicsSettings(**{**SHORT, "time_ps": 0.4})
    runs = KilledRuns(crystal, silicon, settings, tmp_path)
    chance = random.Random(victim)
    for wait in (20, chance.randrange(60, 200, 20)):
        runs.kill(victim, lambda wait=wait: (runs.folder / "restarts" / f"{wait}.restart").exists())
    assert runs.finish() == runs.alone()


@pytest.mark.soak
@pytest.mark.parametrize("ensemble", ["nve", "npt"])
def test_a_run_that_is_killed_at_20_random_times_ends_as_if_left_alone(ensemble, silicon, crystal, tmp_path):
    settings = DynamicsSettings(**{**SHORT, "time_ps": 12.0, "ensemble": ensemble})
    runs = KilledRuns(crystal, silicon, settings, tmp_path)
    expected = runs.alone()
    chance, n_kills, places = random.Random(ensemble), 0, []
    while n_kills < 20:
        wait = runs.start_seconds * chance.random()
        if chance.random() < 0.7:  # after the start: together about half of the run
            wait = runs.start_seconds + (runs.seconds - runs.start_seconds) / 20 * chance.random()
        ready = time.monotonic() + wait
        if not runs.kill(chance.choice(VICTIMS), lambda ready=ready: time.monotonic() > ready):
            break
        n_kills += 1
        if chance.random() < 0.5:  # as after a power failure
            for file in (*(runs.folder / name for name in OUTPUT), *newest_restarts(runs.folder)):
                if file.exists():
                    truncate(file, chance.uniform(0.9, 1.0))
        places.append(newest_point(runs.folder, settings) if runs.folder.exists() else 0)
    print(f"{ensemble}: {n_kills} kills; continued from steps {places}")
    assert runs.finish() == expected
    assert n_kills == 20, "the run ended too early; make it longer"


def test_a_full_disk_ends_in_an_error_and_the_run_continues_afterwards(silicon, crystal, tmp_path):
    settings = DynamicsSettings(**SHORT)
    run_dynamics(crystal, silicon, settings, tmp_path / "alone")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    # no file may grow further than half of the trajectory, as on a full disk
    most = (tmp_path / "alone" / "trajectory.lammpstrj").stat().st_size // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, limits[1]))
    try:
        with pytest.raises(MlipError):
            run_dynamics(crystal, silicon, settings, tmp_path / "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    run_dynamics(crystal, silicon, settings, tmp_path / "full")
    assert contents(tmp_path / "full") == contents(tmp_path / "alone")


def test_atoms_with_a_constraint_do_not_move(silicon, crystal, tmp_path):
    atoms = crystal.copy()
    atoms.set_constraint(FixAtoms([0, 1, 2, 7]))
    run_dynamics(atoms, silicon, DynamicsSettings(**SHORT, thermostat="langevin"), tmp_path)
    first, *_, last = read_frames(tmp_path / "trajectory.lammpstrj")
    moved = np.abs(last.vectors("xu", "yu", "zu") - first.vectors("xu", "yu", "zu")).max(axis=1)
    assert np.flatnonzero(moved == 0.0).tolist() == [0, 1, 2, 7]
    # the first temperature is that of the velocities of the atoms that move
    assert read_thermo_csv(tmp_path / "thermo.csv")["Temp"][0] == pytest.approx(300.0, rel=1e-6)


@pytest.mark.parametrize(
    ("thermostat", "fixed"),
    [("nose-hoover", range(4, 8)), ("csvr", range(4, 8)), ("langevin", range(4, 8)), ("langevin", ())],
)
def test_the_temperature_counts_all_directions_of_a_momentum_that_is_not_conserved(
    thermostat, fixed, silicon, tmp_path
):
    atoms = CELL.copy()
    atoms.set_constraint(FixAtoms(list(fixed)) if fixed else [])
    settings = {"time_ps": 6.0, "thermo_every": 5, "thermostat_fs": 30.0, "thermostat": thermostat}
    run = run_dynamics(atoms, silicon, DynamicsSettings(**settings), tmp_path)
    thermo, n_moving = read_thermo_csv(tmp_path / "thermo.csv"), len(atoms) - len(fixed)
    real = thermo["KinEng"] / (1.5 * n_moving * units.kB)
    np.testing.assert_allclose(thermo["Temp"], real, rtol=1e-4)  # constants of LAMMPS
    assert real[200:].mean() == pytest.approx(300.0, rel=0.12)  # three directions fewer would be 225 or 343 K
    results = dynamics_results(run)
    assert not [warning for warning in results.warnings if "for group all" in warning]
    assert set(results.diffusion) == {"Si"}


def test_masses_of_isotopes_are_those_of_the_run(tmp_path, silicon, crystal):
    atoms = crystal.copy()
    atoms.set_masses(4.0 * atoms.get_masses())
    settings = DynamicsSettings(**(SHORT | {"time_ps": 0.04}), ensemble="nve")
    run_dynamics(atoms, silicon, settings, tmp_path)
    frame = next(iter(read_frames(tmp_path / "trajectory.lammpstrj", 20)))
    speeds = np.square(frame.vectors("vx", "vy", "vz")).sum()  # angstrom^2/ps^2
    kinetic = 0.5 * 4.0 * 28.085 * speeds / (1000.0 * units.fs) ** 2
    thermo = read_thermo_csv(tmp_path / "thermo.csv")
    assert thermo["KinEng"][thermo["Step"] == 20][0] == pytest.approx(kinetic, rel=1e-4)
    atoms.set_masses([28.0, *[30.0] * 63])
    with pytest.raises(UserInputError, match="atoms of Si have masses from 28 to 30 amu"):
        run_dynamics(atoms, silicon, settings, tmp_path / "mixed")


def test_fixed_atoms_do_not_diffuse(tmp_path, silicon, crystal):
    atoms = crystal.copy()
    atoms.set_constraint(FixAtoms(range(8, 64)))
    run = run_dynamics(atoms, silicon, DynamicsSettings(**(SHORT | {"time_ps": 0.4})), tmp_path)
    frames = list(read_frames(tmp_path / "trajectory.lammpstrj", 100))
    positions = np.array([frame.vectors("xu", "yu", "zu")[:8] for frame in frames])
    expected = diffusion(positions, 0.01)
    found = dynamics_results(run, 0.1).diffusion["Si"]
    np.testing.assert_allclose(found.displacement, expected.displacement, rtol=1e-12)


def test_a_committee_stops_the_run_and_saves_uncertain_frames(compile_once, tmp_path):
    models = [MlipCalculator(compile_once(name)) for name in ("two_layers", "one_layer_of_two")]
    atoms = Atoms("H2O" * 8, np.random.default_rng(1).uniform(0, 12, (24, 3)), cell=[12] * 3, pbc=True)
    atoms.positions[:] = np.stack(np.meshgrid(*[np.arange(0, 12, 4.0)] * 3), -1).reshape(-1, 3)[:24]
    settings = {**SHORT, "timestep_fs": 0.1, "time_ps": 0.008, "thermo_every": 1}
    run_dynamics(atoms, models, DynamicsSettings(**settings, label_above=1e-6), tmp_path / "label")
    thermo = read_thermo_csv(tmp_path / "label" / "thermo.csv")
    step, deviation = thermo["Step"], thermo["c_deviation[2]"]
    saved = [frame.step for frame in index_frames(tmp_path / "label" / "uncertain.lammpstrj")]
    assert saved == step[deviation > 1e-6].tolist() != []
    limit = 0.5 * deviation.max()
    stopped = run_dynamics(atoms, models, DynamicsSettings(**settings, stop_above=limit), tmp_path / "stop")
    assert stopped.last_step == step[deviation > limit][0]
    # a structure above the limit does not move
    *_, last = read_frames(tmp_path / "label" / "trajectory.lammpstrj")
    atoms.positions[:] = last.vectors("xu", "yu", "zu")
    settings |= {"thermo_every": 10, "time_ps": 0.02}
    limits = DynamicsSettings(**settings, stop_above=0.9 * deviation[-1])
    at_once = run_dynamics(atoms, models, limits, tmp_path / "at_once")
    assert at_once.last_step == 0
    assert [frame.step for frame in read_frames(tmp_path / "at_once" / "trajectory.lammpstrj")] == [0]
    assert dynamics_results(at_once).force_deviation.mean == pytest.approx(deviation[-1], rel=1e-3)
    # the same input runs to its end with a limit that is not reached
    goes_on = run_dynamics(atoms, models, replace(limits, stop_above=1e6), tmp_path / "goes_on")
    assert goes_on.last_step == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"temperature": 0.0}, "thermostat is 0 K"),
        ({"time_ps": 0.0}, "time_ps is 0.0"),
        ({"time_ps": 1e-6}, "0 steps"),
        ({"timestep_fs": 100.0}, "timestep_fs is 100.0"),
        ({"ensemble": "nvp"}, "not one of nve, nvt, npt"),
        ({"pressure_gpa": 1.0}, "nvt has no barostat"),
        ({"ensemble": "nve", "temperature_end": 10.0}, "nve has no thermostat"),
        ({"ensemble": "nve", "thermostat": "csvr"}, "thermostat is csvr, but nve has no thermostat"),
        ({"barostat": "tri"}, "barostat is tri, but nvt has no barostat"),
        ({"spectrum_fs": 0.1}, "less than a time step"),
        ({"seed": 0}, "seed is 0"),
        ({"restart_every": 1.5}, "restart_every is 1.5"),
    ],
    ids=str,
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(UserInputError, match=message):
        DynamicsSettings(**change)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda a: Atoms("Si", cell=[9] * 3, pbc=True), {}, "1 atoms of the structure can move"),
        (lambda a: Atoms("SiO", [[0, 0, 0], [2, 0, 0]], cell=[9] * 3, pbc=True), {}, "contains O"),
        (lambda a: Atoms("Si2", [[0, 0, 0], [0.1, 0, 0]], cell=[9] * 3, pbc=True), {}, "0.10 angstrom apart"),
        (lambda a: Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]]), {"ensemble": "npt"}, "not periodic"),
        (lambda a: with_constraint(a, FixAtoms([0])), {"ensemble": "npt"}, "fixed atoms"),
        (lambda a: with_constraint(a, FixBondLength(0, 1)), {}, "FixBondLength"),
        (lambda a: a, {"stop_above": 1.0}, "needs a committee"),
    ],
)
def test_structures_that_do_not_fit_are_refused_at_once(make, options, message, silicon, crystal, tmp_path):
    with pytest.raises(UserInputError, match=message):
        run_dynamics(make(crystal), silicon, DynamicsSettings(**SHORT, **options), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def with_constraint(atoms: Atoms, constraint: object) -> Atoms:
    copy = atoms.copy()
    copy.set_constraint(constraint)
    return copy


def test_another_run_in_the_same_folder_is_refused_and_nothing_is_lost(silicon, crystal, tmp_path):
    run_dynamics(crystal, silicon, DynamicsSettings(**SHORT), tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UserInputError, match="differs in seed"):
        run_dynamics(crystal, silicon, DynamicsSettings(**SHORT, seed=5), tmp_path)
    with pytest.raises(UserInputError, match="differs in start"):
        run_dynamics(CELL * (2, 2, 2), silicon, DynamicsSettings(**SHORT), tmp_path)
    assert contents(tmp_path) == before


def test_the_command_writes_results_a_picture_and_continues(tmp_path, crystal, capsys):
    from mlip_lammps.workflows import write_report

    crystal.write(tmp_path / "si.extxyz")
    out = tmp_path / "out folder"
    command = ["md", "silicon-pbe", str(tmp_path / "si.extxyz"), "--dtype", "float64", "--out", str(out)]
    command += ["--time", "0.1", "--restart-every", "50", "--trajectory-every", "2", "--thermo-every", "2"]
    assert main([*command, "--spectrum", "2"]) == 0
    results = json.loads((out / "results.json").read_text())
    assert results["last_step"] == 100
    assert results["pairs"]["Si-Si"]["r"]
    assert results["temperature"]["error"] > 0.0
    assert (out / "dynamics.png").stat().st_size > 10_000
    assert "g(r) of Si-Si" in capsys.readouterr().out
    assert "Molecular dynamics was run with LAMMPS" in write_report(out).read_text()
    assert main([*command, "--spectrum", "3"]) == 2
    assert "differs in spectrum_fs" in capsys.readouterr().err


def test_energy_is_conserved_and_the_drift_is_reported(silicon, crystal, tmp_path):
    run = run_dynamics(crystal, silicon, DynamicsSettings(**{**SHORT, "time_ps": 0.4}, ensemble="nve"), tmp_path)
    results = dynamics_results(run)
    assert abs(results.drift) < 1.0
    assert results.force_deviation is None
    assert results.pairs["Si-Si"].highest_peak()[0] == pytest.approx(2.37, abs=0.06)
    with pytest.raises(UserInputError, match="equilibration_ps is 1"):
        dynamics_results(run, 1.0)


def test_a_ramp_has_no_drift_and_open_boundaries_have_no_pressure(silicon, tmp_path):
    cluster = CELL * (2, 2, 2)
    cluster.pbc = False
    cluster.center(vacuum=5.0)
    settings = DynamicsSettings(**SHORT, temperature=300.0, temperature_end=600.0)
    results = dynamics_results(run_dynamics(cluster, silicon, settings, tmp_path))
    assert results.drift is None
    assert results.pressure_gpa is results.density is results.volume is None


def test_an_equilibration_of_the_whole_run_is_refused_before_it(tmp_path, crystal, capsys):
    crystal.write(tmp_path / "si.extxyz")
    command = ["md", "silicon-pbe", f"{tmp_path}/si.extxyz", "--dtype", "float64", "--time", "0.1"]
    assert main([*command, "--equilibration", "0.1", "--out", f"{tmp_path}/run"]) == 2
    assert "equilibration_ps is 0.1, but the run has 0.1 ps" in capsys.readouterr().err
    assert not (tmp_path / "run" / "log.0.lammps").exists()


def test_a_tilted_cell_of_the_same_crystal_has_the_same_pairs(silicon, crystal, tmp_path):
    tilted = crystal.copy()
    tilted.cell[1] += 2.0 * tilted.cell[0]
    settings = DynamicsSettings(**SHORT, temperature=1.0)
    found = [
        dynamics_results(run_dynamics(atoms, silicon, settings, tmp_path / name)).pairs["Si-Si"]
        for name, atoms in (("straight", crystal), ("tilted", tilted))
    ]
    assert found[0].r == pytest.approx(found[1].r)
    assert found[0].highest_peak() == pytest.approx(found[1].highest_peak(), rel=0.1)


def test_an_overheated_run_and_warnings_of_lammps_are_reported(silicon, tmp_path, capsys):
    collided = CELL * (2, 2, 2)
    collided.positions[0] = collided.positions[1] - collided.get_distance(0, 1, mic=True, vector=True) / 2.35 * 1.1
    collided.write(tmp_path / "collided.extxyz")
    options = ["--ensemble", "nve", "--temperature", "10", "--time", "0.08", "--dtype", "float64"]
    assert main(["md", "silicon-pbe", f"{tmp_path}/collided.extxyz", *options, "--out", f"{tmp_path}/run"]) == 0
    printed = capsys.readouterr().out.replace("\n", " ")
    assert "where the settings say 10 K" in printed
    assert "but the model's smallest distance" in printed
    assert "pair_mlip_torch" not in printed
    settings = DynamicsSettings(**SHORT, ensemble="nve", temperature=10.0)
    calm = dynamics_results(run_dynamics(CELL * (2, 2, 2), silicon, settings, tmp_path / "calm"))
    assert calm.warnings == ()


def test_a_long_timestep_is_named_before_the_run_and_lost_atoms_come_first(silicon, tmp_path, capsys):
    bunched = CELL * (2, 2, 2)
    bunched.positions[0] = bunched.positions[1] - bunched.get_distance(0, 1, mic=True, vector=True) / 2.35
    bunched.write(tmp_path / "bunched.extxyz")
    options = ["--ensemble", "nve", "--time", "20", "--timestep", "20", "--dtype", "float64"]
    assert main(["md", "silicon-pbe", f"{tmp_path}/bunched.extxyz", *options, "--out", f"{tmp_path}/run"]) == 1
    printed = capsys.readouterr()
    assert "a time step of 20 fs is long for Si, where 5.2 fs is usually the most" in printed.out.replace("\n", " ")
    first, second = printed.err.split("its last lines:\n")[1].splitlines()[:2]
    assert first.startswith("ERROR: Lost atoms")
    assert "but the model's smallest distance" in second


def test_the_longest_usual_timestep_follows_the_lightest_atom():
    water = Atoms("OH2", positions=[[0, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert timestep_warnings(water, 1.0) == ()
    assert "is long for H, where 1 fs" in timestep_warnings(water, 1.2)[0]
    water.set_masses([16.0, 2.014, 2.014])
    assert timestep_warnings(water, 1.4) == ()


def test_diffusion_of_a_random_walk():
    steps = np.random.default_rng(4).normal(0.0, 0.1, (400, 300, 3))
    found = diffusion(np.cumsum(steps, axis=0), interval_ps=0.5)
    # each direction: variance 0.01 in 0.5 ps = 2 D 0.5 ps
    assert found.coefficient.mean == pytest.approx(0.01, abs=3 * found.coefficient.error)
    assert found.coefficient.error < 0.002
    assert found.exponent == pytest.approx(1.0, abs=0.1)
    assert not list(_bound_atoms({"O": found}))


def test_bound_atoms_and_atoms_in_free_flight_do_not_diffuse():
    chance = np.random.default_rng(4)
    bound = diffusion(chance.normal(0.0, 0.1, (400, 300, 3)), interval_ps=0.5)
    assert bound.exponent == pytest.approx(0.0, abs=0.05)
    assert "reaches 0.0" in next(_bound_atoms({"Si": replace(bound, coefficient=Average(0.1, 0.01))}))
    assert not list(_bound_atoms({"Si": replace(bound, coefficient=Average(0.1, 0.2))}))
    free = diffusion(np.arange(400)[:, None, None] * chance.normal(0.0, 0.1, (1, 300, 3)), interval_ps=0.5)
    assert free.exponent == pytest.approx(2.0, abs=0.01)
    assert "to the power 2.00" in next(_bound_atoms({"Si": free}))


def test_spectrum_of_an_oscillator_peaks_at_its_frequency():
    time = np.arange(2000) * 2.0
    velocities = np.zeros((2000, 2, 3))
    velocities[:, 0, 0] = np.cos(2 * np.pi * 15.0e-3 * time)
    found = vibrational_spectrum(velocities, np.array([28.0, 1.0]), interval_fs=2.0)
    assert found.frequency_thz[found.density.argmax()] == pytest.approx(15.0, abs=0.5)
    assert np.trapezoid(found.density, found.frequency_thz) == pytest.approx(1.0)


def test_block_error_covers_the_correlation_of_a_series():
    noise = np.random.default_rng(2).normal(size=80_000)
    series = np.convolve(noise, np.ones(50) / 50, mode="valid")
    found = block_average(series)
    # of independent numbers with this mean, the error is 1 / sqrt(n)
    assert found.error == pytest.approx(1 / np.sqrt(len(series)), rel=0.6)
    assert block_average([1.0, 2.0]).error is None
