"""Equation of state: lattice constant and bulk modulus from energies at several volumes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.eos import EquationOfState as AseEquationOfState
from ase.units import GPa
from numpy.typing import NDArray

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.relaxation import relax

LENGTH_FACTORS = tuple(np.linspace(0.98, 1.02, 9))
MIN_VOLUMES = 5


@dataclass(frozen=True)
class EquationOfState:
    """Birch-Murnaghan fit to energies at several volumes.

    Attributes
    ----------
    volumes
        Cell volumes in angstrom^3, shape (n_volumes,).
    energies
        Energies with relaxed atoms in eV, shape (n_volumes,).
    volume
        Volume at the minimum in angstrom^3.
    energy
        Energy at the minimum in eV.
    length_factor
        Factor of the given cell vectors at the minimum.
    bulk_modulus_gpa
        Bulk modulus at the minimum in GPa.
    residual
        Largest difference between fit and energies in eV.
    """

    volumes: NDArray[np.float64]
    energies: NDArray[np.float64]
    volume: float
    energy: float
    length_factor: float
    bulk_modulus_gpa: float
    residual: float


def equation_of_state(
    atoms: Atoms, calculator: Calculator, length_factors: Sequence[float] = LENGTH_FACTORS
) -> EquationOfState:
    """Return the equation of state of a crystal with a fixed cell shape.

    Parameters
    ----------
    atoms
        A periodic crystal near its minimum; the atoms are relaxed at each volume.
    calculator
        ASE calculator.
    length_factors
        Five or more factors of the cell vectors, on both sides of the minimum.

    Raises
    ------
    UserInputError
        If there are too few volumes or the crystal is not periodic.
    MlipError
        If the minimum lies outside the volumes.

    Notes
    -----
    The fit is the third-order equation of Birch, Phys. Rev. 71, 809 (1947).
    """
    if len(length_factors) < MIN_VOLUMES:
        raise UserInputError(f"{len(length_factors)} volumes are too few for a fit; give {MIN_VOLUMES} or more")
    if not atoms.pbc.all():
        raise UserInputError("the structure is not periodic in all directions; an equation of state needs a crystal")
    volumes, energies = [], []
    for factor in length_factors:
        scaled = atoms.copy()
        scaled.set_cell(factor * atoms.cell[:], scale_atoms=True)
        volumes.append(scaled.get_volume())
        energies.append(relax(scaled, calculator).energy)
    fit = AseEquationOfState(volumes, energies, eos="birchmurnaghan")
    try:
        volume, energy, modulus = fit.fit(warn=False)
    except RuntimeError as error:
        raise MlipError(f"no equation of state fits the energies ({error}); use volumes near the minimum") from error
    if not min(volumes) < volume < max(volumes):
        raise MlipError(
            f"the minimum at {volume:.2f} angstrom^3 lies outside the volumes from {min(volumes):.2f} to "
            f"{max(volumes):.2f}; start from another cell"
        )
    return EquationOfState(
        volumes=np.array(volumes),
        energies=np.array(energies),
        volume=float(volume),
        energy=float(energy),
        length_factor=float((volume / atoms.get_volume()) ** (1 / 3)),
        bulk_modulus_gpa=float(modulus / GPa),
        residual=float(np.abs(fit.func(np.array(volumes), *fit.eos_parameters) - energies).max()),
    )
