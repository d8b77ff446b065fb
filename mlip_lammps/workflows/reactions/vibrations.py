"""Vibrations of molecules and adsorbates: frequencies, zero-point energy and thermochemistry."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms
from ase.thermochemistry import HarmonicThermo, IdealGasThermo
from ase.units import invcm
from ase.vibrations import VibrationsData
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_numbers, require_words
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.checks import require_apart, require_known_elements, vacuum_gaps, whole
from mlip_lammps.workflows.crystals.force_constants import force_task
from mlip_lammps.workflows.reactions.rotations import rotational_symmetry_number
from mlip_lammps.workflows.settings import INDEX, require_settings
from mlip_lammps.workflows.tasks import Tasks

DISPLACEMENT = 0.01
LARGEST_FORCE = 0.02
"""Largest force on a moving atom, eV/angstrom: above, frequencies are not those of a stationary point."""

IMAGINARY_CM = 20.0
"""An imaginary frequency above this value counts; smaller ones may be numerical errors of soft modes."""

_PATTERN_AMPLITUDE = 0.25
_N_FRAMES = 20

_SMALLEST_GAP = 5.0
"""Vacuum in angstrom around a molecule in a periodic box."""

_GAMMA_ONLY = (
    "the structure is a crystal: zero-point energy and thermochemistry contain only the modes at the Gamma point of "
    "its cell; for those of all wave vectors run mlip-lammps phonons"
)


@dataclass(frozen=True)
class Thermochemistry:
    """Thermal corrections to the energy.

    Attributes
    ----------
    kind
        ``ideal_gas``: translation, rotation and vibration; ``harmonic``: vibration only.
    temperature
        Temperature in K.
    pressure_pa
        Pressure of the ideal gas in Pa; None for ``harmonic``.
    symmetry_number
        Rotational symmetry number of the molecule; None for ``harmonic``.
    enthalpy
        Enthalpy of the gas, or internal energy of the adsorbate, with zero-point energy, eV.
    entropy
        Entropy in eV/K.
    free_energy
        Gibbs energy of the gas, or Helmholtz energy of the adsorbate, eV. The potential energy is included.
    """

    kind: str
    temperature: float
    pressure_pa: float | None
    symmetry_number: int | None
    enthalpy: float
    entropy: float
    free_energy: float


@dataclass(frozen=True)
class Vibrations:
    """Normal modes at a stationary point.

    Attributes
    ----------
    atoms
        The structure.
    moving
        Indices of the atoms that move, shape (n_moving,).
    energy
        Potential energy in eV.
    frequencies_cm
        Wave numbers in 1/cm in ascending order, shape (n_modes,); imaginary ones are negative. Those of a free
        molecule include its translations and rotations, which are 0.
    modes
        Displacements of all atoms in each mode, largest 1, shape (n_modes, n_atoms, 3).
    zero_point_energy
        Zero-point energy of the real vibrations in eV, without translations and rotations of a free molecule.
    n_imaginary
        Number of imaginary modes above ``IMAGINARY_CM``.
    largest_force
        Largest force on a moving atom, eV/angstrom.
    thermochemistry
        Thermal corrections; None if there are imaginary modes.
    warnings
        What speaks against the results: a crystal, whose vibrations are those of its phonons at the Gamma point only.
    """

    atoms: Atoms
    moving: NDArray[np.int64]
    energy: float
    frequencies_cm: NDArray[np.float64]
    modes: NDArray[np.float64] = field(repr=False)
    zero_point_energy: float
    n_imaginary: int
    largest_force: float
    thermochemistry: Thermochemistry | None
    warnings: tuple[str, ...] = ()

    def mode_frames(self, number: int, amplitude: float = _PATTERN_AMPLITUDE) -> list[Atoms]:
        """Return one period of a mode as structures; the atom that moves most moves by ``amplitude`` in angstrom."""
        frames = []
        for phase in np.sin(2 * np.pi * np.arange(_N_FRAMES) / _N_FRAMES):
            frame = self.atoms.copy()
            frame.set_constraint()
            frame.positions += amplitude * phase * self.modes[number]
            frames.append(frame)
        return frames


def vibrations(
    atoms: Atoms,
    calculator: Calculator,
    moving: Sequence[int] | None = None,
    *,
    displacement: float = DISPLACEMENT,
    kind: Literal["ideal_gas", "harmonic"] | None = None,
    temperature: float = 298.15,
    pressure_pa: float = 101325.0,
    spin: float = 0.0,
    symmetry_number: int | None = None,
    largest_force: float = LARGEST_FORCE,
    tasks: Tasks | None = None,
) -> Vibrations:
    """Return the normal modes of a relaxed molecule or adsorbate.

    Parameters
    ----------
    atoms
        A stationary point: a minimum or a saddle.
    calculator
        ASE calculator.
    moving
        Indices of the atoms that move, also if a constraint fixes them; all atoms without ``FixAtoms`` if None.
    displacement
        Displacement of atoms in angstrom; central differences.
    kind
        Kind of the thermochemistry. If None, ``ideal_gas`` for a molecule that moves as a whole and has vacuum around
        it, else ``harmonic``.
    temperature, pressure_pa
        Temperature in K and pressure in Pa.
    spin
        Total electronic spin of a gas molecule, for its entropy: 0 for a singlet, 1 for a triplet.
    symmetry_number
        Rotational symmetry number of a gas molecule; found from its geometry if None.
    largest_force
        Largest allowed force on a moving atom, eV/angstrom.
    tasks
        Where the forces are computed.

    Raises
    ------
    UserInputError
        If an index does not exist, there is another constraint than ``FixAtoms``, a force is too large, atoms overlap,
        the model does not know an element, or a number is not possible.

    Notes
    -----
    If all atoms move, translations are projected out, and rotations of a molecule. A crystal has only the modes of its
    cell, the phonons at the Gamma point; for its free energy use ``phonons``.
    The ideal gas has rigid rotations and harmonic vibrations (``IdealGasThermo`` of ASE).
    """
    require_known_elements(atoms, calculator)
    require_apart(atoms)
    require_settings(displacement=displacement, temperature=temperature, pressure_pa=pressure_pa, spin=spin)
    require_settings(symmetry_number=symmetry_number, largest_force=largest_force)
    indices = moving_atoms(atoms, moving)
    free = atoms.copy()
    free.set_constraint()
    free.calc = calculator
    energy, forces = float(free.get_potential_energy()), free.get_forces()
    found_force = float(np.linalg.norm(forces[indices], axis=1).max())
    if found_force > largest_force:
        raise UserInputError(
            f"the largest force on a moving atom is {found_force:.3g} eV/angstrom, expected at most {largest_force:g}; "
            "vibrations need a stationary point: relax the structure first"
        )
    free.calc = None
    is_whole = len(indices) == len(atoms)
    is_free = is_whole and is_molecule(atoms)
    if is_free:
        free = whole(free)
    is_gas = (kind or ("ideal_gas" if is_free else "harmonic")) == "ideal_gas"
    if is_gas and not is_free:
        raise UserInputError(
            "an ideal gas needs a molecule with vacuum around it and all atoms moving; give one, or kind harmonic"
        )
    hessian = _hessian(free, indices, calculator, displacement, tasks or Tasks())
    if is_whole:
        hessian = _without_rigid_motion(free, hessian, has_rotations=is_free)
    data = VibrationsData.from_2d(free, hessian, indices=indices)
    energies, modes = data.get_energies_and_modes(all_atoms=True)
    signed = np.where(np.abs(energies.imag) > np.abs(energies.real), -np.abs(energies.imag), energies.real)
    order = np.argsort(signed)
    frequencies, modes = signed[order] / invcm, modes[order]
    modes = modes / np.linalg.norm(modes, axis=2).max(axis=1)[:, None, None]
    if is_free:
        free.pbc = False  # the forces are known; the rest is about the molecule alone
    internal = _internal(free, frequencies, has_rotations=is_free) if is_whole else frequencies
    real = np.sort(internal[internal > 0]) * invcm
    n_imaginary = int((internal < -IMAGINARY_CM).sum())
    thermo = None
    if n_imaginary == 0:
        number = symmetry_number or (rotational_symmetry_number(free) if is_gas else None)
        thermo = _thermochemistry(free, energy, real, temperature, pressure_pa if is_gas else None, number, spin)
    return Vibrations(
        atoms=atoms.copy(),
        moving=indices,
        energy=energy,
        frequencies_cm=frequencies,
        modes=modes,
        zero_point_energy=float(real.sum()) / 2,
        n_imaginary=n_imaginary,
        largest_force=found_force,
        thermochemistry=thermo,
        warnings=(_GAMMA_ONLY,) if is_whole and is_crystal(atoms) else (),
    )


def _require_fixed_atoms_only(atoms: Atoms) -> None:
    """Raise ``UserInputError`` for constraints that `vibrations` cannot apply."""
    other = [type(constraint).__name__ for constraint in atoms.constraints if not isinstance(constraint, FixAtoms)]
    if other:
        raise UserInputError(
            f"the structure has a {other[0]} constraint, and vibrations apply FixAtoms only; remove it, or name the "
            "atoms that move (moving), which replaces all constraints"
        )


def atoms_of(atoms: Atoms, symbols: Sequence[str]) -> NDArray[np.int64]:
    """Return the indices of all atoms of some elements.

    Raises
    ------
    UserInputError
        If the structure has no atom of an element.
    """
    require_words("symbols", symbols)
    found = atoms.get_chemical_symbols()
    if missing := [symbol for symbol in symbols if symbol not in found]:
        elements = ", ".join(sorted(set(found)))
        raise UserInputError(f"the structure has no atom of {missing[0]}; give some of {elements}")
    return np.flatnonzero(np.isin(found, list(symbols)))


def moving_atoms(atoms: Atoms, moving: Sequence[int] | None) -> NDArray[np.int64]:
    """Return the indices of the atoms that move, or raise ``UserInputError``; see `vibrations`."""
    if moving is None:
        _require_fixed_atoms_only(atoms)
        fixed = [constraint.index for constraint in atoms.constraints]
        indices = np.setdiff1d(np.arange(len(atoms)), np.concatenate(fixed) if fixed else [])
    else:
        require_numbers("moving", moving, INDEX)
        indices = np.unique(np.array(moving, dtype=int))
    if len(indices) == 0 or indices.min() < 0 or indices.max() >= len(atoms):
        raise UserInputError(
            f"the moving atoms are {' '.join(map(str, indices)) or 'none'}, expected one or more indices from 0 to "
            f"{len(atoms) - 1}"
        )
    return indices


def _hessian(
    atoms: Atoms, indices: NDArray[np.int64], calculator: Calculator, displacement: float, tasks: Tasks
) -> NDArray[np.float64]:
    """Return second derivatives in eV/angstrom^2 from central differences, symmetric, shape (3 n, 3 n)."""
    items = []
    for index in indices:
        for axis in range(3):
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[index, axis] += sign * displacement
                items.append(moved)
    forces = np.array(tasks.map("displacements", force_task, calculator, items))[:, indices]
    rows = (forces[1::2] - forces[::2]).reshape(3 * len(indices), -1) / (2 * displacement)
    return (rows + rows.T) / 2


def is_molecule(atoms: Atoms) -> bool:
    """Return whether there is vacuum on all sides, in a box too."""
    if not atoms.pbc.any():
        return True
    if vacuum_gaps(atoms)[atoms.pbc].min() < _SMALLEST_GAP:
        return False
    moved = whole(atoms)
    return bool(np.allclose(moved.get_all_distances(), moved.get_all_distances(mic=True)))


def is_crystal(atoms: Atoms) -> bool:
    """Return whether a structure is periodic in three directions, without vacuum."""
    return bool(atoms.pbc.all() and vacuum_gaps(atoms).max() < _SMALLEST_GAP)


def _without_rigid_motion(atoms: Atoms, hessian: NDArray[np.float64], has_rotations: bool) -> NDArray[np.float64]:
    """Return the Hessian without curvature along translations, and along the rotations of a molecule.

    They have none at an exact stationary point; rounding and a small remaining force give some.
    """
    roots = np.repeat(atoms.get_masses() ** 0.5, 3)
    places = atoms.positions - atoms.get_center_of_mass()
    rigid = [np.tile(axis, (len(atoms), 1)) for axis in np.eye(3)]
    rigid += [np.cross(axis, places) for axis in np.eye(3)] if has_rotations else []
    vectors = np.array([motion.ravel() * roots for motion in rigid]).T
    basis, sizes, _ = np.linalg.svd(vectors, full_matrices=False)
    basis = basis[:, sizes > 1e-3 * sizes.max()]
    projection = np.eye(len(roots)) - basis @ basis.T
    weights = np.outer(roots, roots)
    return projection @ (hessian / weights) @ projection * weights


def _internal(atoms: Atoms, frequencies: NDArray[np.float64], has_rotations: bool) -> NDArray[np.float64]:
    """Return the frequencies without those of translation, and of the rotation of a molecule."""
    n_rigid = {"monatomic": 3, "linear": 5, "nonlinear": 6}[_geometry(atoms)] if has_rotations else 3
    return frequencies[np.argsort(np.abs(frequencies), kind="stable")[n_rigid:]]


def _geometry(atoms: Atoms) -> str:
    if len(atoms) == 1:
        return "monatomic"
    return "linear" if atoms.get_moments_of_inertia().min() < 1e-2 else "nonlinear"


def _thermochemistry(
    atoms: Atoms,
    energy: float,
    vibrations: NDArray[np.float64],
    temperature: float,
    pressure_pa: float | None,
    symmetry_number: int | None,
    spin: float,
) -> Thermochemistry:
    if pressure_pa is None and len(vibrations) == 0:
        enthalpy, entropy, free = energy, 0.0, energy
    elif pressure_pa is None:
        thermo = HarmonicThermo(vib_energies=vibrations, potentialenergy=energy)
        enthalpy = thermo.get_internal_energy(temperature, verbose=False)
        entropy = thermo.get_entropy(temperature, verbose=False)
        free = thermo.get_helmholtz_energy(temperature, verbose=False)
    else:
        thermo = IdealGasThermo(
            vib_energies=vibrations,
            geometry=_geometry(atoms),
            potentialenergy=energy,
            atoms=atoms,
            symmetrynumber=symmetry_number,
            spin=spin,
        )
        enthalpy = thermo.get_enthalpy(temperature, verbose=False)
        entropy = thermo.get_entropy(temperature, pressure_pa, verbose=False)
        free = thermo.get_gibbs_energy(temperature, pressure_pa, verbose=False)
    return Thermochemistry(
        kind="harmonic" if pressure_pa is None else "ideal_gas",
        temperature=temperature,
        pressure_pa=pressure_pa,
        symmetry_number=symmetry_number,
        enthalpy=float(enthalpy),
        entropy=float(entropy),
        free_energy=float(free),
    )
