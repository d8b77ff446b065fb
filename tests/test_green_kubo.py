"""Thermal conductivity from a heat flux with a known integral."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import units

from mlip_lammps.analysis.green_kubo import HeatFlux, read_heat_flux, thermal_conductivity
from mlip_lammps.core.errors import UserInputError

EXAMPLE = Path(__file__).parents[1] / "examples" / "02_heat_flux" / "conductivity.py"
STEP, DECAY, VARIANCE = 0.01, 0.1, 4.0
TEMPERATURE, VOLUME = 300.0, 2000.0


def noise(n: int, seed: int) -> HeatFlux:
    """Return a flux with the autocorrelation VARIANCE exp(-t / DECAY): an Ornstein-Uhlenbeck process."""
    rng = np.random.default_rng(seed)
    kept = np.exp(-STEP / DECAY)
    flux = np.empty((n, 3))
    flux[0] = np.sqrt(VARIANCE) * rng.standard_normal(3)
    for k in range(1, n):
        flux[k] = kept * flux[k - 1] + np.sqrt(VARIANCE * (1 - kept**2)) * rng.standard_normal(3)
    return HeatFlux(STEP * np.arange(n), flux, TEMPERATURE, VOLUME)


def test_the_integral_of_a_known_correlation():
    result = thermal_conductivity(noise(200_000, seed=1), window=1.0)
    # W/(m K) from eV^2 A^2 / ps^2 times ps over A^3, eV and K
    expected = 1602.176634 * VARIANCE * DECAY / (units.kB * TEMPERATURE**2 * VOLUME)
    assert result.conductivity[-1] == pytest.approx(expected, rel=0.05)
    assert abs(result.conductivity[-1] - expected) < 4 * result.error[-1] < 0.2 * expected
    np.testing.assert_allclose(result.correlation[: 2 * 10], np.exp(-result.time[: 2 * 10] / DECAY), atol=0.03)
    assert result.correlation[0] == 1.0


def test_the_error_decreases_with_the_length_of_the_run():
    short, long = (thermal_conductivity(noise(n, seed=2), window=0.5).error[-1] for n in (2_000, 200_000))
    assert long < 0.3 * short


def write(path: Path, heat_flux: HeatFlux) -> Path:
    n = len(heat_flux.time)
    columns = [np.arange(n), heat_flux.time, *heat_flux.flux.T, np.full(n, TEMPERATURE), np.full(n, VOLUME)]
    np.savetxt(path, np.column_stack(columns), header="what LAMMPS says\nTimeStep v_time ...")
    return path


def test_the_example_prints_the_conductivity_and_draws_it(tmp_path):
    file = write(tmp_path / "heat_flux.txt", noise(5_000, seed=3))
    words = [sys.executable, EXAMPLE, file, "--out", tmp_path / "out"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120)
    expected = thermal_conductivity(read_heat_flux(file), window=0.5)
    assert f"conductivity  {expected.conductivity[-1]:.2f} +- {expected.error[-1]:.2f} W/(m K)" in done.stdout
    assert (tmp_path / "out" / "picture.png").stat().st_size > 10_000


def test_an_invalid_heat_flux_file_is_refused(tmp_path):
    with pytest.raises(UserInputError, match="too short for a window of 1 ps; run 8 ps or longer"):
        thermal_conductivity(noise(500, seed=4), window=1.0)
    (tmp_path / "words.txt").write_text("no numbers\n")
    with pytest.raises(UserInputError, match="cannot read a heat flux"):
        read_heat_flux(tmp_path / "words.txt")
    (tmp_path / "two.txt").write_text("0 1\n" * 5)
    with pytest.raises(UserInputError, match="5 rows of 2 numbers; expected 7"):
        read_heat_flux(tmp_path / "two.txt")
    two_runs = noise(20, seed=5)
    two_runs.time[10:] -= 0.05
    with pytest.raises(UserInputError, match="not evenly spaced"):
        read_heat_flux(write(tmp_path / "two_runs.txt", two_runs))
