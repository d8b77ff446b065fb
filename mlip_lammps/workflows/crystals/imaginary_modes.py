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
    repeats = np.rint(np.linalg.inv(crystal.primitive_matrix) @ crystal.supercell_matrix).astype(int)
    points = _independent(get_commensurate_points(repeats), crystal.primitive_symmetry.pointgroup_operations)
    found: list[ImaginaryMode] = []
    for point in points:
        crystal.run_qpoints([point])
        frequencies = crystal.qpoints.frequencies[0]
        lowest = float(frequencies[0])
        if lowest > -IMAGINARY_THZ:
            continue
        degeneracy = int((frequencies < lowest + 1e-3).sum())
        crystal.run_modulations(repeats, [[point, 0, 1.0, 0.0]])
        at_rest, moved = to_ase(crystal.modulation.supercell), to_ase(crystal.modulation.modulated_supercells[0])
        shifts = moved.get_scaled_positions(wrap=False) - at_rest.get_scaled_positions(wrap=False)
        shifts = (shifts - np.round(shifts)) @ at_rest.cell[:]
        scale = largest / np.linalg.norm(shifts, axis=1).max()
        at_rest.positions += scale * shifts
        found.append(ImaginaryMode(np.array(point), lowest, degeneracy, at_rest))
    return tuple(sorted(found, key=lambda mode: mode.freq_thz))


def _independent(points: NDArray[np.float64], rotations: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return one point of each set that is equal up to a symmetry and a reciprocal vector."""
    operations, kept = np.concatenate([rotations, -rotations]), []
    for point in points:
        images = point @ operations
        if not any(
            (np.abs(images - other - np.round(images - other)).max(axis=1) < 1e-5).any() for other in kept
        ):
            kept.append(point)
    return kept
