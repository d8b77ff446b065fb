"""Thermal conductivity from the heat flux at constant energy (Green and Kubo)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import units
from numpy.typing import NDArray
from scipy.integrate import cumulative_trapezoid
from scipy.signal import correlate

from mlip_lammps.core.errors import UserInputError

_WATT_PER_METRE_KELVIN = units._e / 1e-12 / 1e-10
"""One eV / (ps angstrom K)."""


@dataclass(frozen=True)
class HeatFlux:
    """Heat flux of a whole box over time.

    Attributes
    ----------
    time
        ps, evenly spaced, shape (n,).
    flux
        eV angstrom / ps, shape (n, 3).
    temperature
        Mean, K.
    volume
        Cubic angstrom.
    """

    time: NDArray[np.float64]
    flux: NDArray[np.float64]
    temperature: float
    volume: float


@dataclass(frozen=True)
class GreenKubo:
    """Autocorrelation of a heat flux and the conductivity up to each time.

    Attributes
    ----------
    time
        ps, shape (n,).
    correlation
        Mean over time and directions, relative to its value at time 0, shape (n,).
    conductivity
        Integral up to ``time``, W/(m K), shape (n,).
    error
        Standard error of it, from the spread over parts of the run and directions, shape (n,).
    """

    time: NDArray[np.float64]
    correlation: NDArray[np.float64]
    conductivity: NDArray[np.float64]
    error: NDArray[np.float64]


def read_heat_flux(path: Path) -> HeatFlux:
    """Read what ``inputs/in.water_heat_flux`` writes: step, time, three components, temperature, volume.

    Raises
    ------
    UserInputError
        If the file is no such table, or its times are not evenly spaced.
    """
    try:
        table = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise UserInputError(f"cannot read a heat flux from {path}: {error}") from None
    if table.shape[1] != 7 or len(table) < 3:
        found = f"{len(table)} rows of {table.shape[1]} numbers"
        raise UserInputError(f"{path} has {found}; expected 7 numbers in each of 3 rows or more")
    time = table[:, 1]
    if np.ptp(np.diff(time)) > 1e-6 * np.diff(time).mean():
        raise UserInputError(f"the times in {path} are not evenly spaced; give the file of one run")
    return HeatFlux(time, table[:, 2:5], float(table[:, 5].mean()), float(table[:, 6].mean()))


def thermal_conductivity(heat_flux: HeatFlux, window: float, n_parts: int = 4) -> GreenKubo:
    """Integrate the autocorrelation of a heat flux.

    Parameters
    ----------
    heat_flux
        At constant energy; the mean is taken off.
    window
        Longest time of the correlation, ps.
    n_parts
        Parts of the run whose results are compared for the error; with three directions each.

    Raises
    ------
    UserInputError
        If a part is shorter than twice the window, or there is no part or window.
    """
    if n_parts < 1 or not window > 0:
        raise UserInputError(f"{n_parts} parts and a window of {window:g} ps: both must be larger than 0")
    step = heat_flux.time[1] - heat_flux.time[0]
    n_window, n_part = round(window / step) + 1, len(heat_flux.time) // n_parts
    if n_part < 2 * n_window:
        raise UserInputError(
            f"{len(heat_flux.time) * step:.3g} ps in {n_parts} parts are too short for a window of {window:g} ps; "
            f"run {2 * n_parts * window:.3g} ps or longer, or take a shorter window"
        )
    flux = heat_flux.flux - heat_flux.flux.mean(axis=0)
    parts = [flux[k * n_part : (k + 1) * n_part, axis] for k in range(n_parts) for axis in range(3)]
    n_pairs = n_part - np.arange(n_window)
    correlations = np.array([correlate(part, part)[n_part - 1 :][:n_window] / n_pairs for part in parts])
    scale = _WATT_PER_METRE_KELVIN / (units.kB * heat_flux.temperature**2 * heat_flux.volume)
    integrals = scale * cumulative_trapezoid(correlations, dx=step, axis=1, initial=0.0)
    mean = correlations.mean(axis=0)
    return GreenKubo(
        time=step * np.arange(n_window),
        correlation=mean / mean[0],
        conductivity=integrals.mean(axis=0),
        error=integrals.std(axis=0, ddof=1) / np.sqrt(len(parts)),
    )
