"""Motion of atoms: mean square displacement, diffusion coefficient and vibrational spectrum."""

from dataclasses import dataclass

import numpy as np
from ase import units
from freud.msd import MSD
from numpy.typing import NDArray

from mlip_lammps.analysis.averages import Average
from mlip_lammps.core.arguments import POSITIVE, require_instance
from mlip_lammps.core.errors import UserInputError

_FIT = (0.2, 0.7)
"""Part of the lag times that is fitted by a line: after the ballistic part, and before the noise of few origins."""
_TINY = 1e-30
_FEWEST_FRAMES = 20
_N_PARTS = 4
_SEGMENTS = 4
_CUBE = 2.837297
"""Ewald sum of the hydrodynamic interaction of a cube with its periodic images."""


@dataclass(frozen=True)
class Diffusion:
    """Mean square displacement and the diffusion coefficient from its slope.

    Attributes
    ----------
    time
        Lag times in ps, shape (n,).
    displacement
        Mean square displacement in angstrom^2, shape (n,).
    coefficient
        Diffusion coefficient in angstrom^2/ps (1e-4 cm^2/s), with the standard error of the parts of the run.
    exponent
        Power of the time by which the displacement grows in the fitted part: 1 for diffusion, less for bound atoms,
        more for atoms in free flight.
    """

    time: NDArray[np.float64]
    displacement: NDArray[np.float64]
    coefficient: Average
    exponent: float


@dataclass(frozen=True)
class Spectrum:
    """Vibrational density of states.

    Attributes
    ----------
    frequency_thz
        Shape (n,).
    density
        In 1/THz, normalised to an integral of 1, shape (n,).
    """

    frequency_thz: NDArray[np.float64]
    density: NDArray[np.float64]


def diffusion(positions: NDArray[np.float64], interval_ps: float) -> Diffusion:
    """Return the mean square displacement of atoms over all time origins, and their diffusion coefficient.

    Parameters
    ----------
    positions
        Unwrapped positions in angstrom, shape (n_frames, n_atoms, 3), without the motion of the centre of mass.
    interval_ps
        Time between frames.

    Raises
    ------
    UserInputError
        If there are fewer than 20 frames.
    """
    require_instance("positions", positions, np.ndarray, "an array of shape (n_frames, n_atoms, 3)")
    POSITIVE.require("interval_ps", interval_ps)
    if len(positions) < _FEWEST_FRAMES:
        raise UserInputError(f"{len(positions)} frames are too few for a diffusion coefficient; give {_FEWEST_FRAMES}")
    n_lags = len(positions) // 2
    time, displacement = interval_ps * np.arange(n_lags), _displacement(positions, n_lags)
    fitted = _fitted(n_lags)
    parts = [part for part in np.array_split(positions, _N_PARTS) if len(part) >= _FEWEST_FRAMES // _N_PARTS * 2]
    slopes = [_slope(_displacement(part, len(part) // 2), interval_ps) for part in parts]
    error = float(np.std(slopes, ddof=1) / np.sqrt(len(slopes))) / 6.0 if len(slopes) == _N_PARTS else None
    exponent = float(np.polyfit(np.log(time[fitted]), np.log(np.maximum(displacement[fitted], _TINY)), 1)[0])
    return Diffusion(time, displacement, Average(_slope(displacement, interval_ps) / 6.0, error), exponent)


def _fitted(n_lags: int) -> slice:
    return slice(*(round(share * n_lags) for share in _FIT))


def _displacement(positions: NDArray[np.float64], n_lags: int) -> NDArray[np.float64]:
    return np.asarray(MSD(mode="window").compute(positions).msd)[:n_lags]


def _slope(displacement: NDArray[np.float64], interval_ps: float) -> float:
    fitted, time = _fitted(len(displacement)), interval_ps * np.arange(len(displacement))
    return float(np.polyfit(time[fitted], displacement[fitted], 1)[0])


def finite_size_correction(temperature: float, viscosity: float, length: float) -> float:
    r"""Return what to add to a diffusion coefficient from a periodic cube for that of an infinite liquid.

    Parameters
    ----------
    temperature
        In K.
    viscosity
        Shear viscosity in mPa s.
    length
        Edge of the cube in angstrom.

    Returns
    -------
    float
        In angstrom^2/ps.

    Notes
    -----
    :math:`\xi k_B T / (6 \pi \eta L)` with :math:`\xi = 2.837297`.

    References
    ----------
    I.-C. Yeh, G. Hummer, J. Phys. Chem. B 108, 15873 (2004), https://doi.org/10.1021/jp0477147
    """
    for name, value in {"temperature": temperature, "viscosity": viscosity, "length": length}.items():
        POSITIVE.require(name, value)
    in_si = _CUBE * units._k * temperature / (6.0 * np.pi * 1e-3 * viscosity * 1e-10 * length)
    return float(in_si * 1e8)  # from m^2/s


def vibrational_spectrum(
    velocities: NDArray[np.float64], masses: NDArray[np.float64], interval_fs: float
) -> Spectrum:
    """Return the mass-weighted power spectrum of velocities, averaged over segments of the run (Welch's method).

    Parameters
    ----------
    velocities
        Shape (n_frames, n_atoms, 3).
    masses
        Shape (n_atoms,).
    interval_fs
        Time between frames; frequencies above 500 / interval_fs THz are folded back.

    Notes
    -----
    The spectrum is the Fourier transform of the velocity autocorrelation function (Wiener-Khinchin theorem).
    """
    from scipy import signal  # half a second

    POSITIVE.require("interval_fs", interval_fs)
    if len(velocities) < _FEWEST_FRAMES:
        raise UserInputError(f"{len(velocities)} frames are too few for a spectrum; give {_FEWEST_FRAMES}")
    length = 2 * len(velocities) // (_SEGMENTS + 1)
    frequency, power = signal.welch(velocities, fs=1000.0 / interval_fs, nperseg=length, axis=0)
    density = np.einsum("fnk,n->f", power, masses)
    return Spectrum(frequency, density / np.trapezoid(density, frequency))
