"""Rotations that map a molecule onto itself."""

from itertools import permutations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

_SAME_PLACE = 0.15
"""Two atoms coincide after a rotation of a molecule within this distance, angstrom."""


def rotational_symmetry_number(molecule: Atoms) -> int:
    """Return the number of rotations that map a molecule onto itself; 1 or 2 for a linear one."""
    places = molecule.positions - molecule.get_center_of_mass()
    if len(molecule) == 1:
        return 1
    numbers = molecule.numbers
    if molecule.get_moments_of_inertia().min() < 1e-2:
        return 2 if _is_same(numbers, -places, places) else 1
    # a rotation is given by the images of two atoms that are not on a line with the centre
    first, second = _independent_pair(places)
    found: list[NDArray[np.float64]] = []
    for i, j in permutations(range(len(molecule)), 2):
        if numbers[i] != numbers[first] or numbers[j] != numbers[second]:
            continue
        source, target = _frame(places[first], places[second]), _frame(places[i], places[j])
        if source is None or target is None:
            continue
        rotation = target @ source.T
        is_new = not any(np.abs(rotation - other).max() < 0.2 for other in found)
        if is_new and _is_same(numbers, places @ rotation.T, places):
            found.append(rotation)
    return max(1, len(found))


def _independent_pair(places: NDArray[np.float64]) -> tuple[int, int]:
    """Return two atoms whose directions from the centre are as perpendicular as possible."""
    areas = np.linalg.norm(np.cross(places[:, None], places[None]), axis=2)
    first, second = np.unravel_index(int(areas.argmax()), areas.shape)
    return int(first), int(second)


def _frame(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return three orthonormal columns from two vectors, or None if they are on a line."""
    normal = np.cross(one, other)
    if np.linalg.norm(normal) < 1e-3:
        return None
    x, z = one / np.linalg.norm(one), normal / np.linalg.norm(normal)
    return np.column_stack([x, np.cross(z, x), z])


def _is_same(numbers: NDArray[np.int64], places: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Return whether each atom lies on one of the same element."""
    distances = np.linalg.norm(places[:, None] - others[None], axis=2)
    nearest = distances.argmin(axis=1)
    return bool(
        (distances.min(axis=1) < _SAME_PLACE).all()
        and len(set(nearest)) == len(numbers)
        and (numbers[nearest] == numbers).all()
    )
