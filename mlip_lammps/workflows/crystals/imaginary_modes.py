"""Unstable modes of a crystal, and structures displaced along them."""

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from phonopy import Phonopy
from phonopy.harmonic.dynmat_to_fc import get_commensurate_points

from mlip_lammps.workflows.crystals.force_constants import to_ase

IMAGINARY_THZ = 0.05
"""A frequency below minus this value counts as imaginary; smaller ones may be numerical errors."""

PATTERN_AMPLITUDE = 0.2
"""Largest displacement in the structure of an imaginary mode, angstrom."""


@dataclass(frozen=True)
class ImaginaryMode:
    """A mode that lowers the energy, at a point that the supercell contains exactly.

    Attributes
    ----------
    q_point
        Point in reciprocal vectors of the primitive cell, shape (3,).
    freq_thz
        Frequency in THz, a negative number.
    degeneracy
        Number of modes with this frequency at this point.
    structure
        Supercell displaced along the mode; relax it to find the lower energy.
    """

    q_point: NDArray[np.float64]
    freq_thz: float
    degeneracy: int
    structure: Atoms


def find_imaginary(crystal: Phonopy, largest: float = PATTERN_AMPLITUDE) -> tuple[ImaginaryMode, ...]:
    """Return the imaginary modes at the points that the supercell contains exactly; see `Phonons`."""
    points = np.array([point for point, *_ in independent_points(crystal)])
    crystal.run_qpoints(points)
    frequencies = np.array(crystal.qpoints.frequencies)
    is_imaginary = frequencies[:, 0] <= -IMAGINARY_THZ
    if not is_imaginary.any():
        return ()
    # all at once: phonopy makes the supercell anew in each call
    crystal.run_modulations(_repeats(crystal), [[point, 0, 1.0, 0.0] for point in points[is_imaginary]])
    displacements, supercell = crystal.modulation.get_modulations_and_supercell()
    found: list[ImaginaryMode] = []
    for point, own, shifts in zip(points[is_imaginary], frequencies[is_imaginary], displacements.real, strict=True):
        lowest = float(own[0])
        degeneracy = int((own < lowest + 1e-3).sum())
        displaced = to_ase(supercell)
        displaced.positions += largest / np.linalg.norm(shifts, axis=1).max() * shifts
        found.append(ImaginaryMode(np.array(point), lowest, degeneracy, displaced))
    return tuple(sorted(found, key=lambda mode: mode.freq_thz))


def independent_points(crystal: Phonopy) -> list[NDArray[np.float64]]:
    """Return the points that the supercell contains exactly, in sets of points that are equal by symmetry.

    Returns
    -------
    list of ndarray
        Points in reciprocal vectors of the primitive cell, shape (n, 3) for each set.
    """
    rotations = crystal.primitive_symmetry.pointgroup_operations
    points = get_commensurate_points(_repeats(crystal))
    n = len(points)  # the common denominator of the coordinates
    images = np.rint(points @ np.concatenate([rotations, -rotations]) * n).astype(np.int64) % n
    codes = (images @ [n * n, n, 1]).min(axis=0)
    _, first, number = np.unique(codes, return_index=True, return_inverse=True)
    return [points[number == one] for one in np.argsort(first)]


def _repeats(crystal: Phonopy) -> NDArray[np.int64]:
    """Return the supercell in vectors of the primitive cell."""
    return np.rint(np.linalg.inv(crystal.primitive_matrix) @ crystal.supercell_matrix).astype(int)
