"""Elastic constants from stresses, with relaxed internal strain."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.stress import voigt_6_to_full_3x3_strain
from ase.units import GPa
from numpy.typing import NDArray

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.relaxation import relax

STRAIN = 5e-3
FORCE_TOLERANCE = 1e-4
LARGEST_STRESS_GPA = 0.5
"""Largest allowed stress of the structure: under load, the slopes of the stress are not elastic constants."""


@dataclass(frozen=True)
class ElasticTensor:
    """Elastic constants in GPa.

    Attributes
    ----------
    voigt_gpa
        Shape (6, 6), order xx yy zz yz xz xy, made symmetric.
    asymmetry_gpa
        Largest difference of two components that are equal in an exact tensor; it estimates the numerical error.
    """

    voigt_gpa: NDArray[np.float64]
    asymmetry_gpa: float

    @property
    def bulk_modulus_gpa(self) -> float:
        """Voigt average of the bulk modulus: the response to a change of volume."""
        return float(self.voigt_gpa[:3, :3].mean())

    @property
    def is_stable(self) -> bool:
        """Whether every small strain increases the energy (Born's criterion)."""
        return bool(np.linalg.eigvalsh(self.voigt_gpa).min() > 0)

    def cubic(self) -> tuple[float, float, float]:
        """Return C11, C12 and C44 of a cubic crystal with axes x, y and z: means of equivalent components."""
        c = self.voigt_gpa
        off_diagonal = (c[0, 1], c[0, 2], c[1, 2])
        return float(np.mean(np.diag(c)[:3])), float(np.mean(off_diagonal)), float(np.mean(np.diag(c)[3:]))


def elastic_tensor(
    atoms: Atoms, calculator: Calculator, strain: float = STRAIN, force_tolerance: float = FORCE_TOLERANCE
) -> ElasticTensor:
    """Return the elastic tensor of a crystal from stresses at small strains.

    Parameters
    ----------
    atoms
        A periodic crystal with relaxed cell and atoms.
    calculator
        ASE calculator with stress.
    strain
        Size of each strain, applied with both signs; for a shear, the engineering strain.
    force_tolerance
        Tolerance for relaxing the atoms in the strained cell, eV/angstrom.

    Raises
    ------
    UserInputError
        If the crystal is not periodic, or its stress is above ``LARGEST_STRESS_GPA``.
    """
    if not atoms.pbc.all():
        raise UserInputError("the structure is not periodic in all directions; elastic constants need a crystal")
    at_rest = atoms.copy()
    at_rest.calc = calculator
    largest = np.abs(at_rest.get_stress()).max() / GPa
    if largest > LARGEST_STRESS_GPA:
        raise UserInputError(
            f"the structure is under a stress of {largest:.2f} GPa, expected at most {LARGEST_STRESS_GPA}; relax its "
            "cell first"
        )
    raw = np.empty((6, 6))
    for component in range(6):
        stresses = [
            _stress(atoms, calculator, sign * strain * np.eye(6)[component], force_tolerance) for sign in (1, -1)
        ]
        raw[:, component] = (stresses[0] - stresses[1]) / (2 * strain) / GPa
    return ElasticTensor(voigt_gpa=(raw + raw.T) / 2, asymmetry_gpa=float(np.abs(raw - raw.T).max()))


def _stress(
    atoms: Atoms, calculator: Calculator, voigt_strain: NDArray[np.float64], force_tolerance: float
) -> NDArray[np.float64]:
    """Return the stress in eV/angstrom^3, shape (6,), of the strained crystal with its atoms relaxed."""
    strained = atoms.copy()
    # the strain matrix of ASE includes the identity
    strained.set_cell(atoms.cell[:] @ voigt_6_to_full_3x3_strain(voigt_strain), scale_atoms=True)
    relaxed = relax(strained, calculator, force_tolerance=force_tolerance).atoms
    relaxed.calc = calculator
    return relaxed.get_stress()
