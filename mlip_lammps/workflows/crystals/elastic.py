"""Elastic constants from stresses, with relaxed internal strain."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.stress import voigt_6_to_full_3x3_strain
from ase.units import GPa, _amu, _hplanck, _k
from numpy.typing import NDArray

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.checks import (
    require_crystal,
    require_known_elements,
    require_no_vacuum,
    require_stress_labels,
    require_unconstrained,
    vacuum_gaps,
)
from mlip_lammps.workflows.relaxation import MAX_STEPS, Optimizer, relax, require_search
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.symmetry import point_group, space_group
from mlip_lammps.workflows.tasks import Tasks

STRAIN = 5e-3
FORCE_TOLERANCE = 1e-4
LARGEST_FORCE_PER_STRAIN = 0.2
"""Largest force tolerance for a strain, eV/angstrom.

In silicon, clamped atoms feel 5 to 10 eV/angstrom for a strain of 1 and C44 is 25 GPa too large, so that a remaining
force of 0.2 adds up to 1 GPa.
"""

LARGEST_STRESS_GPA = 0.5
"""Largest allowed stress of the structure: under load, the slopes of the stress are not elastic constants."""

LAYER_STRAINS = (0, 1, 5)
"""In-plane components xx, yy and xy."""

SMALLEST_LAYER_GAP = 5.0
"""Angstrom of vacuum that makes a structure a layer."""

_LARGEST_CONDITION = 1e12
"""Condition number of a tensor from which on its inverse is noise."""
_PAIRS = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
_VOIGT = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])
_MANDEL = np.array([1.0, 1.0, 1.0, 2**0.5, 2**0.5, 2**0.5])
"""Factors from the notation of Voigt to that of Mandel, in which a rotation of the axes is orthogonal."""


@dataclass(frozen=True)
class ElasticTensor:
    """Elastic constants in GPa.

    Attributes
    ----------
    voigt_gpa
        Shape (6, 6), order xx yy zz yz xz xy, with the symmetry of the crystal.
    asymmetry_gpa
        Largest difference of two components that are equal in an exact tensor; it estimates the numerical error.
    symmetry_residual_gpa
        Largest change of a component by averaging over the point group of the crystal.
    space_group
        Symbol and number of the space group; None if it was not found.
    atoms
        The structure.
    """

    voigt_gpa: NDArray[np.float64]
    asymmetry_gpa: float
    symmetry_residual_gpa: float
    space_group: str | None
    atoms: Atoms = field(repr=False)

    @property
    def compliance(self) -> NDArray[np.float64]:
        """Elastic compliance in 1/GPa, shape (6, 6)."""
        return np.linalg.inv(self.voigt_gpa)

    @property
    def bulk_modulus_gpa(self) -> float:
        """Voigt average of the bulk modulus: the response to a change of volume."""
        return float(self.voigt_gpa[:3, :3].mean())

    @property
    def bulk_modulus_reuss_gpa(self) -> float:
        """Reuss average of the bulk modulus: the response to pressure."""
        return float(1.0 / self.compliance[:3, :3].sum())

    @property
    def bulk_modulus_hill_gpa(self) -> float:
        """Mean of the Voigt and Reuss averages."""
        return (self.bulk_modulus_gpa + self.bulk_modulus_reuss_gpa) / 2

    @property
    def shear_modulus_voigt_gpa(self) -> float:
        """Voigt average of the shear modulus."""
        c = self.voigt_gpa
        return float((np.trace(c[:3, :3]) - c[0, 1] - c[0, 2] - c[1, 2] + 3 * np.trace(c[3:, 3:])) / 15)

    @property
    def shear_modulus_reuss_gpa(self) -> float:
        """Reuss average of the shear modulus."""
        s = self.compliance
        off_diagonal = s[0, 1] + s[0, 2] + s[1, 2]
        return float(15 / (4 * (np.trace(s[:3, :3]) - off_diagonal) + 3 * np.trace(s[3:, 3:])))

    @property
    def shear_modulus_hill_gpa(self) -> float:
        """Mean of the Voigt and Reuss averages of the shear modulus."""
        return (self.shear_modulus_voigt_gpa + self.shear_modulus_reuss_gpa) / 2

    @property
    def young_modulus_gpa(self) -> float:
        """Young's modulus of a polycrystal, from the Hill averages."""
        k, g = self.bulk_modulus_hill_gpa, self.shear_modulus_hill_gpa
        return 9 * k * g / (3 * k + g)

    @property
    def poisson_ratio(self) -> float:
        """Poisson's ratio of a polycrystal, from the Hill averages."""
        k, g = self.bulk_modulus_hill_gpa, self.shear_modulus_hill_gpa
        return (3 * k - 2 * g) / (6 * k + 2 * g)

    @property
    def universal_anisotropy(self) -> float:
        """Anisotropy index of Ranganathan and Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504 (2008); 0: isotropic."""
        shear = 5 * self.shear_modulus_voigt_gpa / self.shear_modulus_reuss_gpa
        return shear + self.bulk_modulus_gpa / self.bulk_modulus_reuss_gpa - 6

    @property
    def smallest_eigenvalue_gpa(self) -> float:
        """Smallest eigenvalue of the tensor, which does not depend on the axes.

        It is that of ``voigt_gpa`` in the notation of Mandel, where each shear index contributes a factor of the square
        root of 2. For a cubic crystal the eigenvalues are C11 - C12, 2 C44 and C11 + 2 C12.
        """
        return float(np.linalg.eigvalsh(_MANDEL[:, None] * self.voigt_gpa * _MANDEL).min())

    @property
    def is_stable(self) -> bool:
        """Whether every small strain increases the energy (Born's criterion)."""
        return self.smallest_eigenvalue_gpa > 0

    @property
    def debye_temperature(self) -> float | None:
        """Debye temperature in K, from the mean velocity of sound; None for an unstable crystal.

        O. L. Anderson, J. Phys. Chem. Solids 24, 909 (1963).
        """
        k, g = 1e9 * self.bulk_modulus_hill_gpa, 1e9 * self.shear_modulus_hill_gpa
        if not self.is_stable:
            return None
        volume = 1e-30 * self.atoms.get_volume()
        density = self.atoms.get_masses().sum() * _amu / volume
        longitudinal, transverse = ((k + 4 * g / 3) / density) ** 0.5, (g / density) ** 0.5
        mean = ((2 / transverse**3 + 1 / longitudinal**3) / 3) ** (-1 / 3)
        return float(_hplanck / _k * (3 * len(self.atoms) / (4 * np.pi * volume)) ** (1 / 3) * mean)

    def cubic(self) -> tuple[float, float, float]:
        """Return C11, C12 and C44 of a cubic crystal with axes x, y and z: means of equivalent components."""
        c = self.voigt_gpa
        off_diagonal = (c[0, 1], c[0, 2], c[1, 2])
        return float(np.mean(np.diag(c)[:3])), float(np.mean(off_diagonal)), float(np.mean(np.diag(c)[3:]))

    def young_modulus_along(self, directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return Young's modulus in GPa along directions of any length, shape (n, 3) to (n,)."""
        n = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
        products = np.stack([n[..., i] * n[..., j] for i, j in _PAIRS], axis=-1)
        return 1.0 / np.einsum("...i,ij,...j", products, self.compliance, products)


@dataclass(frozen=True)
class LayerElasticTensor:
    """In-plane elastic constants of a layer in N/m.

    Attributes
    ----------
    voigt_n_per_m
        Shape (3, 3), order xx yy xy.
    asymmetry_n_per_m
        Largest difference of two components that are equal in an exact tensor.
    """

    voigt_n_per_m: NDArray[np.float64]
    asymmetry_n_per_m: float

    @property
    def is_stable(self) -> bool:
        """Whether every small in-plane strain increases the energy."""
        return bool(np.linalg.eigvalsh(self.voigt_n_per_m).min() > 0)

    @property
    def young_moduli_n_per_m(self) -> tuple[float, float]:
        """Young's modulus along x and y."""
        s = np.linalg.inv(self.voigt_n_per_m)
        return float(1 / s[0, 0]), float(1 / s[1, 1])

    @property
    def poisson_ratios(self) -> tuple[float, float]:
        """Contraction along y on extension along x, and along x on extension along y."""
        s = np.linalg.inv(self.voigt_n_per_m)
        return float(-s[0, 1] / s[0, 0]), float(-s[0, 1] / s[1, 1])


def elastic_tensor(
    atoms: Atoms,
    calculator: Calculator,
    strain: float = STRAIN,
    force_tolerance: float = FORCE_TOLERANCE,
    *,
    optimizer: Optimizer = "lbfgs",
    max_steps: int = MAX_STEPS,
    tasks: Tasks | None = None,
) -> ElasticTensor:
    """Return the elastic tensor of a crystal of any symmetry from stresses at small strains.

    Parameters
    ----------
    atoms
        A periodic crystal with relaxed cell and atoms.
    calculator
        ASE calculator with stress.
    strain
        Size of each strain, applied with both signs; for a shear, the engineering strain.
    force_tolerance
        Tolerance for relaxing the atoms in the strained cell, eV/angstrom; at most `LARGEST_FORCE_PER_STRAIN` times
        the strain, because the constants are otherwise those of clamped atoms.
    optimizer, max_steps
        See ``relax``.
    tasks
        Where the strained cells are computed.

    Raises
    ------
    UserInputError
        If a setting is invalid, the structure is not a crystal or has a constraint, its stress is above
        ``LARGEST_STRESS_GPA``, or the model was trained without stresses.
    MlipError
        If the structure has no stiffness.
    """
    require_search(optimizer, force_tolerance, max_steps)
    _require_strain(strain, force_tolerance)
    require_crystal(atoms, "elastic constants need")
    require_unconstrained(atoms, "elastic constants need")
    require_known_elements(atoms, calculator)
    require_no_vacuum(atoms, calculator, "elastic constants in GPa (without --layer) need")
    _require_at_rest(atoms, calculator, range(6))
    options = {"force_tolerance": force_tolerance, "optimizer": optimizer, "max_steps": max_steps}
    raw = _slopes(atoms, calculator, strain, options, range(6), tasks or Tasks()) / GPa
    symmetric = (raw + raw.T) / 2
    projected = _average_over_point_group(symmetric, atoms)
    if not np.linalg.cond(projected) < _LARGEST_CONDITION:
        raise MlipError(
            f"the elastic constants are those of a structure without stiffness (largest {np.abs(projected).max():.3g} "
            "GPa); check that its atoms interact: compare their distances with the cutoff of the model"
        )
    return ElasticTensor(
        voigt_gpa=projected,
        asymmetry_gpa=float(np.abs(raw - raw.T).max()),
        symmetry_residual_gpa=float(np.abs(projected - symmetric).max()),
        space_group=space_group(atoms),
        atoms=atoms.copy(),
    )


def layer_elastic_tensor(
    atoms: Atoms,
    calculator: Calculator,
    strain: float = STRAIN,
    force_tolerance: float = FORCE_TOLERANCE,
    *,
    optimizer: Optimizer = "lbfgs",
    max_steps: int = MAX_STEPS,
    tasks: Tasks | None = None,
) -> LayerElasticTensor:
    """Return the in-plane elastic tensor of a layer in the xy plane, with vacuum along the third cell vector.

    Parameters
    ----------
    atoms
        A periodic layer with relaxed cell vectors in the plane and relaxed atoms.
    calculator, strain, force_tolerance, optimizer, max_steps, tasks
        See `elastic_tensor`.

    Raises
    ------
    UserInputError
        If the third cell vector is not along z or contains no vacuum, or see `elastic_tensor`.
    """
    require_search(optimizer, force_tolerance, max_steps)
    _require_strain(strain, force_tolerance)
    require_crystal(atoms, "a layer in a periodic cell with vacuum is needed, as")
    require_unconstrained(atoms, "elastic constants need")
    require_known_elements(atoms, calculator)
    gap = vacuum_gaps(atoms)[2]
    tilted = max(np.abs(atoms.cell[:2, 2]).max(), np.abs(atoms.cell[2, :2]).max())
    if gap < SMALLEST_LAYER_GAP or tilted > 1e-3:
        raise UserInputError(
            f"the third cell vector is {atoms.cell[2].round(3).tolist()} with {gap:.1f} angstrom of vacuum, expected "
            f"one along z with at least {SMALLEST_LAYER_GAP:g} angstrom; put the layer into the xy plane"
        )
    _require_at_rest(atoms, calculator, LAYER_STRAINS)
    height = atoms.get_volume() / np.linalg.norm(np.cross(*atoms.cell[:2]))
    options = {"force_tolerance": force_tolerance, "optimizer": optimizer, "max_steps": max_steps}
    slopes = _slopes(atoms, calculator, strain, options, LAYER_STRAINS, tasks or Tasks())
    raw = slopes[list(LAYER_STRAINS)] * height / GPa * 0.1  # GPa angstrom = 0.1 N/m
    return LayerElasticTensor((raw + raw.T) / 2, float(np.abs(raw - raw.T).max()))


def stress_task(calculator: Calculator, item: dict[str, Any]) -> NDArray[np.float64]:
    """Return the stress of a strained crystal with relaxed atoms, eV/angstrom^3, shape (6,)."""
    relaxed = relax(item["atoms"], calculator, **item["options"]).atoms
    relaxed.calc = calculator
    return relaxed.get_stress()


def _require_strain(strain: float, force_tolerance: float) -> None:
    require_settings(strain=strain)
    if force_tolerance > (largest := LARGEST_FORCE_PER_STRAIN * strain) * (1 + 1e-9):
        raise UserInputError(
            f"the force tolerance is {force_tolerance:g} eV/angstrom, expected at most {largest:g} for a strain of "
            f"{strain:g}, because the atoms would not relax in the strained cell; give a smaller tolerance"
        )


def _require_at_rest(atoms: Atoms, calculator: Calculator, components: Any) -> None:
    require_stress_labels(calculator, "elastic constants need them")
    at_rest = atoms.copy()
    at_rest.calc = calculator
    largest = np.abs(at_rest.get_stress()[list(components)]).max() / GPa
    if largest > LARGEST_STRESS_GPA:
        raise UserInputError(
            f"the structure is under a stress of {largest:.2f} GPa, expected at most {LARGEST_STRESS_GPA}; relax its "
            "cell first"
        )


def _slopes(
    atoms: Atoms, calculator: Calculator, strain: float, options: dict[str, Any], components: Any, tasks: Tasks
) -> NDArray[np.float64]:
    """Return the slope of each stress for each strain, eV/angstrom^3, shape (6, n_components)."""
    items = []
    for component in components:
        for sign in (1, -1):
            strained = atoms.copy()
            # the strain matrix of ASE includes the identity
            matrix = voigt_6_to_full_3x3_strain(sign * strain * np.eye(6)[component])
            strained.set_cell(atoms.cell[:] @ matrix, scale_atoms=True)
            items.append({"atoms": strained, "options": options})
    stresses = np.array(tasks.map("strained cells", stress_task, calculator, items))
    return ((stresses[::2] - stresses[1::2]) / (2 * strain)).T


def _average_over_point_group(voigt: NDArray[np.float64], atoms: Atoms) -> NDArray[np.float64]:
    """Return the mean of a tensor over the rotations of the crystal."""
    tensor = voigt[_VOIGT[:, :, None, None], _VOIGT[None, None]]
    rotations = point_group(atoms)
    mean = sum(np.einsum("ai,bj,ck,dl,ijkl", r, r, r, r, tensor, optimize=True) for r in rotations) / len(rotations)
    i, j = np.array(_PAIRS).T
    return mean[i, j][:, i, j]
