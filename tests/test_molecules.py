"""Detection of broken molecules: a molecule that lost an atom is found, and intact ones are not."""

import numpy as np
import pytest
from ase.build import molecule

from mlip_lammps.analysis.molecules import find_broken_molecules
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.boxes import build_box

WATER = {"bond": ("O", "H"), "n_bonds": 2, "max_length": 1.3}


@pytest.fixture
def box():
    """Return 27 H2O, some across the boundary, with O atoms at the indices 0, 3, 6, ..."""
    atoms = build_box(molecule("H2O"), 27, 0.5, seed=3)
    atoms.positions += [0.3, 0.1, -0.2] + 0.5 * atoms.cell.lengths()
    atoms.wrap()
    return atoms


def test_molecules_across_the_boundary_are_intact(box):
    moved = box.copy()
    moved.rattle(0.02, seed=1)
    moved.positions += 2.0
    moved.wrap()
    assert find_broken_molecules([box, moved], **WATER).shape == (0, 2)


def test_a_lost_hydrogen_is_found_in_its_frame(box):
    torn = box.copy()
    torn.positions[13] += 0.4 * box.get_distance(12, 13, mic=True, vector=True)
    np.testing.assert_array_equal(find_broken_molecules([box, torn, box], **WATER), [[1, 12]])


def test_two_hydrogens_that_change_places_are_found(box):
    swapped = box.copy()
    swapped.positions[[1, 4]] = swapped.positions[[4, 1]]
    np.testing.assert_array_equal(find_broken_molecules([box, swapped], **WATER), [[1, 0], [1, 3]])


def test_a_start_with_broken_molecules_is_refused(box):
    del box[1]
    with pytest.raises(UserInputError, match=r"O atom 0 .* has 1 H within 1\.3 angstrom, expected 2"):
        find_broken_molecules([box], **WATER)


def test_no_frames_are_refused():
    with pytest.raises(UserInputError, match="found none"):
        find_broken_molecules([], **WATER)
