"""Thermal expansion and Grueneisen parameters from phonons at several volumes."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.units import GPa
from numpy.typing import NDArray
from phonopy import Phonopy, PhonopyGruneisen, run_qha

from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows.checks import require_stress_labels
from mlip_lammps.workflows.crystals.equations_of_state import at_volumes, require_length_factors
from mlip_lammps.workflows.crystals.force_constants import (
    DISPLACEMENT,
    build_phonopy,
    find_force_constants,
    to_ase,
)
from mlip_lammps.workflows.crystals.imaginary_modes import IMAGINARY_THZ
from mlip_lammps.workflows.crystals.phonons import (
    EV_IN_KJ_PER_MOL,
    MESH_LENGTH,
    prepare_crystal,
    require_ascending,
    run_bands,
)
from mlip_lammps.workflows.relaxation import relax_each
from mlip_lammps.workflows.settings import require_settings
from mlip_lammps.workflows.symmetry import SYMMETRY_TOLERANCE, has_fixed_shape, symmetrized
from mlip_lammps.workflows.tasks import Tasks

LENGTH_FACTORS = tuple(np.linspace(0.985, 1.025, 9))
TEMPERATURES = tuple(range(0, 1010, 10))
GRUNEISEN_STRAIN = 0.005
"""Change of the cell vectors in both directions for Grueneisen parameters."""

_FORCE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class QuasiHarmonic:
    """Properties of a crystal at zero pressure and a temperature, for the primitive cell.

    Attributes
    ----------
    primitive
        The primitive cell at the first of the given volumes.
    volumes, energies
        Volumes in angstrom^3 and energies without vibrations in eV, shape (n_volumes,).
    temperatures
        Temperatures in K, shape (n,).
    volume
        Volume in angstrom^3, shape (n,).
    expansion_per_k
        Coefficient of volume expansion in 1/K, shape (n,).
    gibbs
        Gibbs energy in eV, shape (n,).
    bulk_modulus_gpa
        Isothermal bulk modulus in GPa, shape (n,).
    gruneisen_parameter
        Thermodynamic Grueneisen parameter, shape (n,).
    heat_capacity_j_per_k_mol
        Heat capacity at constant pressure, shape (n,).
    cell_lengths
        Lengths of the vectors of the given cell in angstrom, shape (n, 3); None if its angles change with the volume,
        or if the crystal is triclinic or monoclinic.
    """

    primitive: Atoms
    volumes: NDArray[np.float64]
    energies: NDArray[np.float64]
    temperatures: NDArray[np.float64]
    volume: NDArray[np.float64]
    expansion_per_k: NDArray[np.float64]
    gibbs: NDArray[np.float64]
    bulk_modulus_gpa: NDArray[np.float64]
    gruneisen_parameter: NDArray[np.float64]
    heat_capacity_j_per_k_mol: NDArray[np.float64]
    cell_lengths: NDArray[np.float64] | None

    def at(self, temperature: float) -> dict[str, float]:
        """Return all properties interpolated to a temperature in K.

        Raises
        ------
        UserInputError
            If the temperature is outside ``temperatures``.
        """
        first, last = self.temperatures[0], self.temperatures[-1]
        if not first <= temperature <= last:
            raise UserInputError(f"the temperature is {temperature:g} K, expected {first:g} to {last:g} K")
        names = ("volume", "expansion_per_k", "gibbs", "bulk_modulus_gpa", "gruneisen_parameter")
        names += ("heat_capacity_j_per_k_mol",)
        return {name: float(np.interp(temperature, self.temperatures, getattr(self, name))) for name in names}


@dataclass(frozen=True)
class Gruneisen:
    """Grueneisen parameters: minus the relative change of a frequency for a relative change of volume.

    Attributes
    ----------
    distances, freq_thz, parameters
        Position in 1/angstrom, frequencies and parameters along each line of the path of seekpath; shapes (n_q,),
        (n_q, n_modes) and (n_q, n_modes) each. Modes without frequency have no parameter: NaN.
    mean_300_k
        Mean over all modes, weighted by their heat capacity at 300 K.
    """

    distances: tuple[NDArray[np.float64], ...]
    freq_thz: tuple[NDArray[np.float64], ...]
    parameters: tuple[NDArray[np.float64], ...]
    mean_300_k: float


def quasi_harmonic(
    atoms: Atoms,
    calculator: Calculator,
    supercell: Sequence[int] | None = None,
    *,
    length_factors: Sequence[float] = LENGTH_FACTORS,
    temperatures: Sequence[float] | None = None,
    mesh_length: float = MESH_LENGTH,
    displacement: float = DISPLACEMENT,
    symmetry_tolerance: float = SYMMETRY_TOLERANCE,
    tasks: Tasks | None = None,
) -> QuasiHarmonic:
    """Return thermal expansion and Gibbs energy in the quasi-harmonic approximation.

    Parameters
    ----------
    atoms, calculator, supercell, mesh_length, displacement, symmetry_tolerance, tasks
        See ``phonons``.
    length_factors
        Five or more different factors of the cell vectors; the largest must exceed the expansion at the highest
        temperature.
    temperatures
        Two or more ascending temperatures in K. If None, `TEMPERATURES` up to the highest one at which the volume is
        among the given ones.

    Raises
    ------
    UserInputError
        If a setting is invalid, the model was trained without stresses, or see ``phonons``.
    MlipError
        If a frequency is imaginary at a volume, or the volume at a temperature lies outside the given volumes.

    Notes
    -----
    Atoms and shape of the cell are relaxed at each volume, for the energy without vibrations. At each temperature, the
    sum of energy and vibrational Helmholtz energy is fitted with the equation of Vinet (``run_qha`` of phonopy).
    """
    require_length_factors(length_factors)
    given = TEMPERATURES if temperatures is None else temperatures
    require_ascending(given, least=2)
    require_settings(mesh_length=mesh_length)
    require_stress_labels(calculator, "thermal expansion needs them")
    options = (displacement, symmetry_tolerance, tasks or Tasks())
    crystals, energies = _with_phonons(atoms, calculator, supercell, length_factors, *options)
    given = np.array(given, dtype=float)
    for factor, crystal in zip(length_factors, crystals, strict=True):
        crystal.run_mesh(mesh_length)
        lowest = float(crystal.mesh.frequencies.min())
        if lowest < -IMAGINARY_THZ:
            raise MlipError(
                f"at {factor:g} times the cell vectors, a frequency is imaginary ({lowest:.2f} THz), and the free "
                "energy is not defined; use another range of volumes or a stable phase"
            )
    # derivatives need one temperature more at the end
    asked = np.append(given, 2 * given[-1] - given[-2])
    with warnings.catch_warnings():
        # without lattice parameters there are no lengths; volumes outside of the range are refused below
        warnings.filterwarnings("ignore", message="Lattice parameter", category=UserWarning)
        found = run_qha(
            crystals,
            asked,
            internal_energies=energies,
            mesh=mesh_length,
            eos="vinet",
            exclude_gamma_acoustic=True,
        )
    volumes, volume = np.array(found.volumes), np.array(found.equilibrium_volumes)
    n = int(np.logical_and.accumulate((volumes.min() < volume) & (volume < volumes.max())).sum())
    if n < (2 if temperatures is None else len(given)):
        lower = f", or temperatures up to {given[n - 1]:g} K" if n > 1 else ""
        k = min(n, len(volume) - 1)
        raise MlipError(
            f"the volume is {volume[k]:.2f} angstrom^3 at {given[k]:g} K, but the computed ones are "
            f"{volumes.min():.2f} to {volumes.max():.2f}; use a wider range of volumes{lower}"
        )
    return QuasiHarmonic(
        primitive=to_ase(crystals[0].primitive),
        volumes=volumes,
        energies=energies,
        temperatures=np.array(found.temperatures)[:n],
        volume=volume[:n],
        expansion_per_k=np.array(found.thermal_expansion)[:n],
        gibbs=np.array(found.gibbs_free_energies)[:n],
        bulk_modulus_gpa=np.array(found.bulk_moduli)[:n] / GPa,
        gruneisen_parameter=np.array(found.gruneisen_parameters)[:n],
        heat_capacity_j_per_k_mol=np.array(found.heat_capacity_P.heat_capacities)[:n] * 1e3 * EV_IN_KJ_PER_MOL,
        cell_lengths=None if found.lattice is None else np.array(found.lattice.lattice_parameters)[:n],
    )


def gruneisen(
    atoms: Atoms,
    calculator: Calculator,
    supercell: Sequence[int] | None = None,
    *,
    mesh_length: float = MESH_LENGTH,
    displacement: float = DISPLACEMENT,
    symmetry_tolerance: float = SYMMETRY_TOLERANCE,
    tasks: Tasks | None = None,
) -> Gruneisen:
    """Return mode Grueneisen parameters from phonons at three volumes.

    Parameters
    ----------
    atoms, calculator, supercell, mesh_length, displacement, symmetry_tolerance, tasks
        See ``phonons``.

    Raises
    ------
    UserInputError
        See ``phonons``.
    """
    require_settings(mesh_length=mesh_length)
    require_stress_labels(calculator, "Grueneisen parameters need them")
    factors = (1.0, 1.0 + GRUNEISEN_STRAIN, 1.0 - GRUNEISEN_STRAIN)
    options = (displacement, symmetry_tolerance, tasks or Tasks())
    crystals, _ = _with_phonons(atoms, calculator, supercell, factors, *options)
    found = PhonopyGruneisen(*crystals)
    bands = run_bands(crystals[0])
    found.set_band_structure(list(bands.q_points))
    _, distances, frequencies, _, parameters = found.get_band_structure()
    mesh = crystals[0]
    mesh.run_mesh(mesh_length)
    found.set_mesh(mesh.mesh_numbers, is_gamma_center=True)
    _, weights, mesh_freq, _, mesh_parameters = found.get_mesh()
    x = np.clip(np.array(mesh_freq) / (300.0 * _THZ_PER_K), 1e-8, 500.0)
    capacity = np.where(np.array(mesh_freq) > IMAGINARY_THZ, x**2 * np.exp(x) / np.expm1(x) ** 2, 0.0)
    capacity *= np.array(weights)[:, None]
    # at Gamma, acoustic modes have no frequency
    mesh_parameters = np.where(capacity > 0, mesh_parameters, 0.0)
    return Gruneisen(
        distances=tuple(map(np.array, distances)),
        freq_thz=tuple(map(np.array, frequencies)),
        parameters=tuple(
            np.where(np.abs(freq) > IMAGINARY_THZ, found, np.nan)
            for freq, found in zip(frequencies, parameters, strict=True)
        ),
        mean_300_k=float((capacity * mesh_parameters).sum() / capacity.sum()),
    )


_THZ_PER_K = 0.020836619
"""Boltzmann's constant over Planck's."""


def _with_phonons(
    atoms: Atoms,
    calculator: Calculator,
    supercell: Sequence[int] | None,
    length_factors: Sequence[float],
    displacement: float,
    symmetry_tolerance: float,
    tasks: Tasks,
) -> tuple[list[Phonopy], NDArray[np.float64]]:
    """Return phonopy with force constants, and the energy of a primitive cell in eV, at each volume."""
    require_settings(displacement=displacement)
    symmetric, _, supercell = prepare_crystal(atoms, calculator, supercell, symmetry_tolerance)
    cell = "fixed" if has_fixed_shape(symmetric) else "shape"
    options = {"force_tolerance": _FORCE_TOLERANCE, "keeps_symmetry": True, "cell": cell}
    scaled = at_volumes(symmetric, length_factors)
    relaxed = relax_each(scaled, calculator, stage="volumes", tasks=tasks, **options).values()
    crystals = [build_phonopy(symmetrized(result.atoms, symmetry_tolerance)[0], supercell) for result in relaxed]
    find_force_constants(crystals, calculator, displacement, tasks)
    cells = [len(crystal.unitcell) / len(crystal.primitive) for crystal in crystals]
    return crystals, np.array([result.energy for result in relaxed]) / cells
