"""Green-Kubo thermal conductivity from the heat flux at constant energy."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import units
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_count, require_instance, require_path, require_positive
from mlip_lammps.core.errors import UserInputError

_WATT_PER_METRE_KELVIN = units._e / 1e-12 / 1e-10
"""One eV / (ps angstrom K) in W/(m K)."""


@dataclass(frozen=True)
class HeatFlux:
    """Heat flux of a simulation box over time.

    Attributes
    ----------
    time
        Evenly spaced times in ps, shape (n,).
    flux
        Heat flux in eV angstrom / ps, shape (n, 3).
    temperature
        Mean temperature in K.
    volume
        Mean volume in angstrom^3.
    """

    time: NDArray[np.float64]
    flux: NDArray[np.float64]
    temperature: float
    volume: float


@dataclass(frozen=True)
class GreenKubo:
    """Autocorrelation of a heat flux and its running integral, the conductivity.

    Attributes
    ----------
    time
        Correlation times in ps, shape (n,).
    correlation
        Autocorrelation averaged over time and directions, normalised to 1 at time 0, shape (n,).
    conductivity
        Integral up to ``time`` in W/(m K), shape (n,).
    error
        Standard error of the conductivity in W/(m K), from the spread over parts of the run and directions, shape (n,).
    """

    time: NDArray[np.float64]
    correlation: NDArray[np.float64]
    conductivity: NDArray[np.float64]
    error: NDArray[np.float64]


def read_heat_flux(path: Path | str) -> HeatFlux:
    """Read the output of ``inputs/in.water_heat_flux``: step, time, three flux components, temperature and volume.

    Raises
    ------
    UserInputError
        If the file is not such a table, or if its times are not evenly spaced.
    """
    require_path("path", path)
    try:
        table = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise UserInputError(
            f"cannot read a heat flux from {path}: {error}; give a file written by inputs/in.water_heat_flux"
        ) from None
    if table.shape[1] != 7 or len(table) < 3:
        found = f"{len(table)} rows of {table.shape[1]} numbers"
        raise UserInputError(
            f"{path} has {found}; expected 7 numbers in each of at least 3 rows, as inputs/in.water_heat_flux writes"
        )
    time = table[:, 1]
    if np.ptp(np.diff(time)) > 1e-6 * np.diff(time).mean():
        raise UserInputError(f"the times in {path} are not evenly spaced; give the file of a single run")
    return HeatFlux(time, table[:, 2:5], float(table[:, 5].mean()), float(table[:, 6].mean()))


def thermal_conductivity(heat_flux: HeatFlux, window: float, n_parts: int = 4) -> GreenKubo:
    """Integrate the autocorrelation of a heat flux.

    Parameters
    ----------
    heat_flux
        Heat flux of a constant-energy run; its mean is subtracted.
    window
        Longest correlation time in ps.
    n_parts
        Number of parts of the run for the error estimate; each part has three directions.

    Raises
    ------
    UserInputError
        If a part is shorter than twice the window, or if ``n_parts`` or ``window`` is not positive.
    """
    # half a second, and every plot imports this module
    from scipy.integrate import cumulative_trapezoid
    from scipy.signal import correlate

    require_instance("heat_flux", heat_flux, HeatFlux, "what read_heat_flux returns")
    require_positive("window", window)
    require_count("n_parts", n_parts)
    step = heat_flux.time[1] - heat_flux.time[0]
    n_window, n_part = round(window / step) + 1, len(heat_flux.time) // n_parts
    if n_part < 2 * n_window:
        raise UserInputError(
            f"a run of {len(heat_flux.time) * step:.3g} ps in {n_parts} parts is too short for a window of {window:g} "
            f"ps; run {2 * n_parts * window:.3g} ps or longer, or use a shorter window"
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
