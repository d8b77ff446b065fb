"""Power spectra of the modes of a crystal, and the frequency and width of their lines."""

from dataclasses import dataclass

import numpy as np
from ase import units
from numpy.typing import NDArray
from scipy import optimize

_IN_SI = 1e-10 / 1e-12 * np.sqrt(units._amu)
"""One angstrom sqrt(amu)/ps in m sqrt(kg)/s."""


_FIRST_WIDTHS = (0.01, 0.1, 1.0)
"""Widths in THz with which fits start."""
_FLOOR = 0.01
"""Power in units of the peak that is added to spectrum and line."""
_ACCURACY = {"maxiter": 2000, "xatol": 1e-5, "fatol": 1e-6}


@dataclass(frozen=True)
class Line:
    """Line of a damped harmonic oscillator.

    Attributes
    ----------
    freq_thz
        Frequency of the oscillator without damping in THz.
    width_thz
        Full width at half maximum in THz.
    """

    freq_thz: float
    width_thz: float


def project_velocities(
    velocities: NDArray[np.float64],
    masses: NDArray[np.float64],
    positions: NDArray[np.float64],
    atoms_of_cell: NDArray[np.int64],
    q_point: NDArray[np.float64],
    eigenvectors: NDArray[np.complex128],
) -> NDArray[np.complex128]:
    """Return the velocities of normal modes at one point.

    Parameters
    ----------
    velocities
        Velocities of the supercell in angstrom/ps, shape (n_frames, n_atoms, 3).
    masses
        Masses in amu, shape (n_atoms,).
    positions
        Positions at rest in the vectors of the primitive cell, shape (n_atoms, 3).
    atoms_of_cell
        Number of each atom in the primitive cell, shape (n_atoms,).
    q_point
        Point in reciprocal vectors of the primitive cell, shape (3,), which the supercell contains.
    eigenvectors
        Eigenvectors of the dynamical matrix with the phases of phonopy, shape (3 n_cell, n_modes).

    Returns
    -------
    ndarray
        In angstrom sqrt(amu)/ps, shape (n_frames, n_modes).
    """
    n_cells = len(masses) / (atoms_of_cell.max() + 1)
    phases = np.exp(-2j * np.pi * positions @ q_point) * np.sqrt(masses / n_cells)
    waves = eigenvectors.reshape(-1, 3, eigenvectors.shape[1]).conj()[atoms_of_cell] * phases[:, None, None]
    return velocities.reshape(len(velocities), -1) @ waves.reshape(-1, eigenvectors.shape[1])


def kinetic_temperature(modes: NDArray[np.complex128]) -> float:
    """Return the temperature in K of modes, from their velocities in angstrom sqrt(amu)/ps."""
    return float(np.mean(np.abs(modes * _IN_SI) ** 2) / units._k)


def periodogram(modes: NDArray[np.complex128], interval_ps: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return frequencies in THz and the mean power of modes.

    Parameters
    ----------
    modes
        Velocities, shape (n_frames, n_modes).
    interval_ps
        Time between frames.

    Returns
    -------
    tuple
        Frequencies from 0 to the highest that the frames resolve, shape (n,), and power, shape (n,): the mean square
        of the modes is its sum over positive and negative frequencies times their distance.
    """
    n_frames = len(modes)
    power = (np.abs(np.fft.fft(modes, axis=0)) ** 2).mean(axis=1) * interval_ps / n_frames
    half = n_frames // 2 + 1
    negative = np.roll(power[::-1], 1)  # the power at -f
    return np.fft.rfftfreq(n_frames, interval_ps), 0.5 * (power + negative)[:half]


def fit_line(modes: NDArray[np.complex128], interval_ps: float, expected_thz: float) -> Line:
    """Return the line of a damped oscillator that fits the spectrum of modes best.

    Parameters
    ----------
    modes
        Velocities of modes of one frequency, shape (n_frames, n_modes).
    interval_ps
        Time between frames.
    expected_thz
        Frequency near which the line is.

    Notes
    -----
    The fit maximises the likelihood of the periodogram. It compares with the expected periodogram of a run of this
    length, so that the short time of the run does not widen the line: A. M. Sykulski et al., Biometrika 106, 251
    (2019). Power below a hundredth of the peak, where other modes contribute, counts little.
    """
    frequency, power = periodogram(modes, interval_ps)
    reach = max(1.0, 0.3 * expected_thz)
    near = (np.abs(frequency - expected_thz) < reach) & (frequency > 0.0)
    floor = _FLOOR * power[near].max()
    observed, mean_square = power[near] + floor, 2.0 * power[near].sum() * frequency[1]
    time = interval_ps * np.arange(len(modes))
    fading = 1.0 - np.arange(len(modes)) / len(modes)

    def disagreement(parameters: NDArray[np.float64]) -> float:
        freq, width, height = np.exp(parameters)
        line = height * _expected(fading * _correlation(time, freq, width), interval_ps)[near]
        model = np.maximum(line, 0.0) + floor
        return float((np.log(model) + observed / model).sum())

    peak = float(frequency[near][np.argmax(observed)])
    fits = []
    for width in _FIRST_WIDTHS:
        start = np.log([peak, width, mean_square])
        fits.append(optimize.minimize(disagreement, start, method="Nelder-Mead", options=_ACCURACY))
    found = min(fits, key=lambda fit: fit.fun)
    freq, width, *_ = np.exp(found.x)
    return Line(float(freq), float(width))


def _correlation(time: NDArray[np.float64], freq: float, width: float) -> NDArray[np.float64]:
    """Return the velocity autocorrelation of a damped oscillator of frequency ``freq``, with the value 1 at 0."""
    rate = np.pi * width  # decay of the amplitude
    rest = (2.0 * np.pi * freq) ** 2 - rate**2
    swing = 1j * (np.sqrt(complex(rest)) or 1e-12)  # imaginary part: frequency with damping; real if overdamped
    terms = [(1.0 - rate / sign) * np.exp((sign - rate) * time) for sign in (swing, -swing)]
    return np.real(0.5 * (terms[0] + terms[1]))


def _expected(correlation: NDArray[np.float64], interval_ps: float) -> NDArray[np.float64]:
    """Return the periodogram that belongs to the autocorrelation of a run."""
    return interval_ps * (2.0 * np.fft.rfft(correlation).real - correlation[0])
