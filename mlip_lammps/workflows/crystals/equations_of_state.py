"""Equation of state: lattice constant and bulk modulus from energies at several volumes; pressure of a phase change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.eos import birchmurnaghan, vinet
from ase.units import GPa
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, brentq, curve_fit

from mlip_lammps.core.arguments import require_numbers
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.checks import (
    require_crystal,
    require_known_elements,
    require_no_vacuum,
    require_stress_labels,
    require_unconstrained,
)
from mlip_lammps.workflows.relaxation import FORCE_TOLERANCE, MAX_STEPS, Optimizer, relax_each, require_search
from mlip_lammps.workflows.settings import LENGTH_FACTOR
from mlip_lammps.workflows.tasks import Tasks

LENGTH_FACTORS = tuple(np.linspace(0.98, 1.02, 9))
MIN_VOLUMES = 5
EQUATIONS: dict[str, Callable] = {"birch_murnaghan": birchmurnaghan, "vinet": vinet}
HIGHEST_PRESSURE_GPA = 200.0
_N_PRESSURES = 401

_N_ERRORS = 3.0
"""Minima that differ by at most this times their error are the same."""

_SAME_ENERGY = 1e-6
"""eV per atom; the error of the energies themselves, which a fit without residuals does not contain."""

_SAME_VOLUME = 1e-4
"""The same for volumes, angstrom^3 per atom."""


@dataclass(frozen=True)
class Fit:
    """An equation fitted to energies; errors are standard deviations from the residuals.

    Attributes
    ----------
    equation
        ``birch_murnaghan`` or ``vinet``.
    volume, volume_error
        Volume at the minimum in angstrom^3.
    energy, energy_error
        Energy at the minimum in eV.
    bulk_modulus_gpa, bulk_modulus_error_gpa
        Bulk modulus at the minimum in GPa.
    derivative, derivative_error
        Derivative of the bulk modulus with respect to pressure.
    residual
        Largest difference between fit and energies in eV.
    """

    equation: str
    volume: float
    volume_error: float
    energy: float
    energy_error: float
    bulk_modulus_gpa: float
    bulk_modulus_error_gpa: float
    derivative: float
    derivative_error: float
    residual: float

    def energy_at(self, volume: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the energy in eV at a volume in angstrom^3."""
        modulus = self.bulk_modulus_gpa * GPa
        return EQUATIONS[self.equation](np.asarray(volume), self.energy, modulus, self.derivative, self.volume)

    def pressure_at(self, volume: float) -> float:
        """Return the pressure in GPa at a volume in angstrom^3."""
        step = 1e-4 * volume
        return float((self.energy_at(volume - step) - self.energy_at(volume + step)) / (2 * step) / GPa)

    def volume_at(self, pressure_gpa: float) -> float:
        """Return the volume in angstrom^3 at a pressure in GPa.

        Raises
        ------
        ValueError
            If the equation does not reach this pressure between 0.4 and 1.15 times the volume at the minimum.
        """
        return float(
            brentq(lambda volume: self.pressure_at(volume) - pressure_gpa, 0.4 * self.volume, 1.15 * self.volume)
        )


@dataclass(frozen=True)
class EquationOfState:
    """Energies at several volumes, and two equations fitted to them.

    Attributes
    ----------
    atoms
        The given structure.
    volumes
        Cell volumes in angstrom^3, shape (n_volumes,).
    energies
        Energies with relaxed atoms in eV, shape (n_volumes,).
    birch_murnaghan, vinet
        The fits.
    """

    atoms: Atoms
    volumes: NDArray[np.float64]
    energies: NDArray[np.float64]
    birch_murnaghan: Fit
    vinet: Fit

    @property
    def volume(self) -> float:
        """Volume at the minimum of the Birch-Murnaghan fit in angstrom^3."""
        return self.birch_murnaghan.volume

    @property
    def energy(self) -> float:
        """Energy at the minimum of the Birch-Murnaghan fit in eV."""
        return self.birch_murnaghan.energy

    @property
    def bulk_modulus_gpa(self) -> float:
        """Bulk modulus of the Birch-Murnaghan fit in GPa."""
        return self.birch_murnaghan.bulk_modulus_gpa

    @property
    def residual(self) -> float:
        """Largest difference between the Birch-Murnaghan fit and the energies in eV."""
        return self.birch_murnaghan.residual

    @property
    def length_factor(self) -> float:
        """Factor of the given cell vectors at the minimum."""
        return float((self.volume / self.atoms.get_volume()) ** (1 / 3))


@dataclass(frozen=True)
class PhaseChange:
    """Two phases with the same enthalpy.

    Attributes
    ----------
    pressure_gpa
        Pressure in GPa, from the Birch-Murnaghan fits.
    pressure_error_gpa
        Error of the fits: that of the energies over the difference of the volumes, and the difference from the Vinet
        fits.
    pressure_vinet_gpa
        The same pressure from the Vinet fits.
    volumes
        Volume of each phase at that pressure, angstrom^3 per atom.
    is_extrapolated
        Whether a volume lies outside the computed ones.
    """

    pressure_gpa: float
    pressure_error_gpa: float
    pressure_vinet_gpa: float
    volumes: tuple[float, float]
    is_extrapolated: bool


def equation_of_state(
    atoms: Atoms,
    calculator: Calculator,
    length_factors: Sequence[float] = LENGTH_FACTORS,
    *,
    relaxes_shape: bool = False,
    force_tolerance: float = FORCE_TOLERANCE,
    optimizer: Optimizer = "lbfgs",
    max_steps: int = MAX_STEPS,
    tasks: Tasks | None = None,
) -> EquationOfState:
    """Return the equation of state of a crystal.

    Parameters
    ----------
    atoms
        A periodic crystal near its minimum; the atoms are relaxed at each volume.
    calculator
        ASE calculator.
    length_factors
        Five or more different factors of the cell vectors, on both sides of the minimum.
    relaxes_shape
        Whether the shape of the cell is relaxed at each volume.
    force_tolerance, optimizer, max_steps
        See ``relax``.
    tasks
        Where the volumes are computed.

    Raises
    ------
    UserInputError
        If there are too few volumes or another setting is invalid, the structure is not a crystal or has a constraint,
        or the model was trained without stresses.
    MlipError
        If the minimum lies outside the volumes.

    Notes
    -----
    The fits are the third-order equation of Birch, Phys. Rev. 71, 809 (1947), and that of Vinet et al., J. Geophys.
    Res. 92, 9319 (1987).
    """
    require_length_factors(length_factors)
    require_search(optimizer, force_tolerance, max_steps)
    require_crystal(atoms, "an equation of state needs")
    require_unconstrained(atoms, "an equation of state needs")
    require_no_vacuum(atoms, calculator, "an equation of state needs")
    require_known_elements(atoms, calculator)
    require_stress_labels(calculator, "a lattice constant needs them")
    cells = at_volumes(atoms, length_factors)
    options = {"force_tolerance": force_tolerance, "optimizer": optimizer, "max_steps": max_steps}
    options["cell"] = "shape" if relaxes_shape else "fixed"
    found = relax_each(cells, calculator, stage="volumes", tasks=tasks, **options)
    volumes = np.array([cell.get_volume() for cell in cells.values()])
    energies = np.array([result.energy for result in found.values()])
    fits = {name: fit_equation(name, volumes, energies) for name in EQUATIONS}
    return EquationOfState(atoms.copy(), volumes, energies, **fits)


def require_length_factors(length_factors: Sequence[float]) -> None:
    """Raise ``UserInputError`` unless there are `MIN_VOLUMES` or more different factors of cell vectors."""
    require_numbers("length_factors", length_factors, LENGTH_FACTOR)
    if (n_different := len(set(length_factors))) < max(MIN_VOLUMES, len(length_factors)):
        raise UserInputError(
            f"{n_different} different volumes are too few for a fit with {len(length_factors)} points; give "
            f"{MIN_VOLUMES} or more, all different"
        )


def at_volumes(atoms: Atoms, length_factors: Sequence[float]) -> dict[str, Atoms]:
    """Return copies whose cell vectors are multiplied by each factor, by names for messages."""
    cells = {}
    for number, factor in enumerate(length_factors, start=1):
        scaled = atoms.copy()
        scaled.set_cell(factor * atoms.cell[:], scale_atoms=True)
        cells[f"volume-{number}"] = scaled
    return cells


def fit_equation(equation: str, volumes: NDArray[np.float64], energies: NDArray[np.float64]) -> Fit:
    """Fit an equation of `EQUATIONS` to energies.

    Parameters
    ----------
    volumes, energies
        Volumes in angstrom^3 and energies in eV, shape (n_volumes,).

    Raises
    ------
    MlipError
        If the fit fails or its minimum lies outside the volumes.
    """
    function = EQUATIONS[equation]
    a, b, c = np.polyfit(volumes, energies, 2)
    start = -b / (2 * a) if a > 0 else volumes[np.argmin(energies)]
    start = float(np.clip(start, volumes.min(), volumes.max()))
    guess = (c + b * start + a * start**2, max(2 * a * start, 1e-3), 4.0, start)
    # relative to the mean energy, because the fit is limited by rounding otherwise
    zero = energies.mean()
    try:
        found, covariance = curve_fit(function, volumes, energies - zero, p0=(guess[0] - zero, *guess[1:]))
    except (RuntimeError, OptimizeWarning) as error:
        raise MlipError(f"no equation of state fits the energies ({error}); use volumes near the minimum") from error
    residual = float(np.abs(function(volumes, *found) - (energies - zero)).max())
    energy, modulus, derivative, volume = map(float, found)
    if not volumes.min() < volume < volumes.max():
        raise MlipError(
            f"the minimum at {volume:.2f} angstrom^3 lies outside the volumes from {volumes.min():.2f} to "
            f"{volumes.max():.2f}; start from another cell"
        )
    errors = np.sqrt(np.abs(np.diag(covariance)))
    return Fit(
        equation=equation,
        volume=volume,
        volume_error=float(errors[3]),
        energy=energy + float(zero),
        energy_error=float(errors[0]),
        bulk_modulus_gpa=modulus / GPa,
        bulk_modulus_error_gpa=float(errors[1]) / GPa,
        derivative=derivative,
        derivative_error=float(errors[2]),
        residual=residual,
    )


def phase_change(low: EquationOfState, high: EquationOfState) -> PhaseChange | None:
    """Return the pressure at which two phases of one composition have the same enthalpy, at zero temperature.

    Returns
    -------
    PhaseChange or None
        None if both are the same phase (`is_same_phase`), or the enthalpies do not cross at a pressure above its error,
        up to the highest pressure that both equations reach.

    Raises
    ------
    UserInputError
        If the compositions differ.
    """
    formulas = [_reduced(curve.atoms) for curve in (low, high)]
    if formulas[0] != formulas[1]:
        names = [curve.atoms.get_chemical_formula() for curve in (low, high)]
        raise UserInputError(f"{names[0]} and {names[1]} have different compositions; give two phases of one compound")
    if is_same_phase(low, high):
        return None
    pressure, vinet = (_crossing(low, high, equation) for equation in EQUATIONS)
    if pressure is None or vinet is None:
        return None
    volumes = [curve.birch_murnaghan.volume_at(pressure) for curve in (low, high)]
    is_inside = all(
        curve.volumes.min() <= volume <= curve.volumes.max() for curve, volume in zip((low, high), volumes, strict=True)
    )
    per_atom = tuple(volume / len(curve.atoms) for curve, volume in zip((low, high), volumes, strict=True))
    energy_error = np.hypot(*(curve.birch_murnaghan.energy_error / len(curve.atoms) for curve in (low, high)))
    with np.errstate(divide="ignore"):
        error = float(np.hypot(energy_error / abs(np.subtract(*per_atom)) / GPa, pressure - vinet))
    return PhaseChange(pressure, error, vinet, per_atom, not is_inside) if pressure > error else None


def is_same_phase(one: EquationOfState, other: EquationOfState) -> bool:
    """Return whether two curves have the same minimum per atom within the errors of their fits.

    The error of a minimum is its standard deviation and the difference between the two equations.
    """

    def agrees(name: str, smallest: float) -> bool:
        values, errors = [], []
        for curve in (one, other):
            fits = [getattr(curve, equation) for equation in EQUATIONS]
            values.append(getattr(fits[0], name) / len(curve.atoms))
            errors += [getattr(fits[0], f"{name}_error") / len(curve.atoms)]
            errors += [(getattr(fits[0], name) - getattr(fits[1], name)) / len(curve.atoms)]
        return abs(values[0] - values[1]) <= max(_N_ERRORS * float(np.linalg.norm(errors)), smallest)

    return (
        _reduced(one.atoms) == _reduced(other.atoms)
        and agrees("energy", _SAME_ENERGY)
        and agrees("volume", _SAME_VOLUME)
    )


def _crossing(low: EquationOfState, high: EquationOfState, equation: str) -> float | None:
    """Return the lowest pressure of 0 or more at which the enthalpies per atom are equal, GPa."""

    def difference(pressure: float) -> float:
        enthalpies = []
        for curve in (low, high):
            fit = getattr(curve, equation)
            volume = fit.volume_at(pressure)
            enthalpies.append(float(fit.energy_at(volume) + pressure * GPa * volume) / len(curve.atoms))
        return enthalpies[1] - enthalpies[0]

    pressures, values = np.linspace(0.0, HIGHEST_PRESSURE_GPA, _N_PRESSURES), []
    for pressure in pressures:
        try:
            values.append(difference(pressure))
        except ValueError:  # beyond the reach of an equation
            break
    for k, (one, other) in enumerate(pairwise(values)):
        if one * other <= 0:
            return float(brentq(difference, pressures[k], pressures[k + 1]))
    return None


def _reduced(atoms: Atoms) -> dict[str, int]:
    counts = atoms.symbols.formula.count()
    divisor = gcd(*counts.values())
    return {symbol: n // divisor for symbol, n in counts.items()}
