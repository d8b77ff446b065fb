"""Frequencies and widths of phonons at a temperature."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from scipy.linalg import expm

from mlip_lammps.analysis.mode_spectra import fit_line, kinetic_temperature, periodogram, project_velocities
from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import MlipError
from mlip_lammps.workflows import mode_spectra, phonons, relax


def oscillators(freq: float, width: float, interval: float, n_frames: int, n_modes: int) -> np.ndarray:
    """Return velocities of damped oscillators in a bath, sampled exactly, with a mean square of 1."""
    generator = np.random.default_rng(0)

    def noise() -> np.ndarray:
        real, imaginary = generator.normal(size=(2, 2, n_modes)) / np.sqrt(2)
        return real + 1j * imaginary

    rate = 2 * np.pi * freq
    equilibrium = np.diag([1 / rate**2, 1.0])  # of displacement and velocity
    step = expm(interval * np.array([[0.0, 1.0], [-(rate**2), -2 * np.pi * width]]))
    kick = np.linalg.cholesky(equilibrium - step @ equilibrium @ step.T)
    state = np.sqrt(equilibrium) @ noise()
    velocities = np.empty((n_frames, n_modes), dtype=complex)
    for k in range(n_frames):
        velocities[k] = state[1]
        state = step @ state + kick @ noise()
    return velocities


@pytest.mark.parametrize(("freq", "width"), [(15.0, 0.1), (15.0, 0.02), (5.0, 0.5), (3.0, 2.0)])
def test_the_fit_finds_frequency_and_width_also_below_the_resolution_of_the_run(freq, width):
    interval, n_frames, n_modes = 0.016, 2500, 12  # the resolution of 40 ps is 0.025 THz
    line = fit_line(oscillators(freq, width, interval, n_frames, n_modes), interval, 1.02 * freq)
    n_independent = n_modes * n_frames * interval * np.pi * width
    assert line.freq_thz == pytest.approx(freq, abs=4 * width / np.sqrt(n_independent))
    assert line.width_thz == pytest.approx(width, rel=6 / np.sqrt(n_independent))


def test_the_power_of_a_spectrum_is_the_mean_square():
    modes = oscillators(5.0, 0.5, 0.02, 999, 3)
    frequency, power = periodogram(modes, 0.02)
    assert 2 * power[1:].sum() * frequency[1] + power[0] * frequency[1] == pytest.approx((np.abs(modes) ** 2).mean())


@pytest.fixture(scope="module")
def copper():
    crystal = relax(bulk("Cu", a=3.59, cubic=True), EMT(), cell="isotropic", force_tolerance=1e-6).atoms
    return phonons(crystal, EMT(), (2, 2, 2))


def test_modes_contain_all_of_the_motion(copper):
    """The kinetic energy of the modes at all points is that of the atoms, and atoms at a temperature give it back."""
    crystal = copper.phonopy
    masses = crystal.supercell.masses
    positions = crystal.supercell.positions @ np.linalg.inv(crystal.primitive.cell)
    velocities = np.random.default_rng(1).normal(size=(400, len(masses), 3))
    points = np.array([[i, j, k] for i in range(4) for j in range(4) for k in range(4)]) / 4
    # those that the 2 2 2 repeats of the cubic cell contain
    inside = np.exp(2j * np.pi * points @ (crystal.supercell.cell @ np.linalg.inv(crystal.primitive.cell)).T)
    points = points[np.abs(inside - 1).max(axis=1) < 1e-8]
    assert len(points) == len(masses)
    crystal.run_qpoints(points, with_eigenvectors=True)
    cell = np.zeros(len(masses), dtype=int)
    modes = np.concatenate(
        [
            project_velocities(velocities, masses, positions, cell, point, vectors)
            for point, vectors in zip(points, crystal.qpoints.eigenvectors, strict=True)
        ],
        axis=1,
    )
    np.testing.assert_allclose(
        (np.abs(modes) ** 2).sum(axis=1), np.einsum("fnk,n->f", velocities**2, masses), rtol=1e-12
    )
    # angstrom^2 amu/ps^2 over k_B
    assert kinetic_temperature(modes) == pytest.approx(masses[0] * (velocities**2).mean() * 1.20272, rel=1e-4)


def test_a_crystal_that_is_not_stable_is_refused(tmp_path):
    cubic = relax(bulk("Cu", "sc", a=2.4), EMT(), cell="isotropic").atoms
    with pytest.raises(MlipError, match="a frequency is imaginary"):
        mode_spectra(phonons(cubic, EMT(), (2, 2, 2)), EMT(), tmp_path)


def test_the_command_finds_the_frequencies_of_silicon_at_a_temperature(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ase.io.write("si.extxyz", bulk("Si", a=5.469, cubic=True))
    command = "phonons silicon-pbe si.extxyz --no-relax --spectrum-temperature 300 --spectrum-time 4"
    assert main(command.split()) == 0
    assert "at 300 K, THz" in capsys.readouterr().out
    found = json.loads(Path("out/phonons/results.json").read_text())["mode_spectra"]
    modes = found["modes"]
    # 64 atoms have 192 modes, of which three shift the crystal
    assert sum(mode["n_modes"] for mode in modes) == 189
    mean = np.average([mode["temperature"] for mode in modes], weights=[mode["n_modes"] for mode in modes])
    assert mean == pytest.approx(300, rel=0.1)
    shifts = np.array([mode["freq_thz"]["mean"] - mode["harmonic_thz"] for mode in modes])
    assert (np.abs(shifts) < 0.35).all()
    assert -0.2 < shifts.mean() < -0.03  # silicon softens
    assert Path("out/phonons/spectra.png").is_file()
