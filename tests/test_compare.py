"""The comparisons that other tests use: they pass for equal values and fail for planted faults."""

import numpy as np
import pytest

from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import (
    assert_energies_agree,
    assert_forces_agree,
    assert_node_energies_agree,
    assert_virials_agree,
)

FORCES = np.random.default_rng(0).normal(size=(7, 3))
VIRIAL = np.random.default_rng(1).normal(size=6)


def test_equal_values_agree():
    assert_energies_agree(-31.5, -31.5, 7, tolerances.REFERENCE_ENERGY_PER_ATOM)
    assert_node_energies_agree(FORCES[:, 0], FORCES[:, 0].copy(), tolerances.REFERENCE_ENERGY_PER_ATOM)
    assert_forces_agree(FORCES, FORCES.copy(), tolerances.REFERENCE_FORCE)
    assert_virials_agree(VIRIAL, VIRIAL.copy(), tolerances.REFERENCE_STRESS)


def test_differences_below_the_tolerance_agree():
    assert_forces_agree(FORCES, FORCES + 0.9e-9, 1e-9)
    assert_energies_agree(-31.5, -31.5 + 6e-10, 7, 1e-10)


def test_forces_scaled_by_a_tenth_of_a_percent_are_found():
    with pytest.raises(AssertionError, match="7 of 7 atoms"):
        assert_forces_agree(1.001 * FORCES, FORCES, tolerances.LAMMPS_FORCE)


def test_one_wrong_force_names_its_atom_and_element():
    wrong = FORCES.copy()
    wrong[4, 2] += 1e-6
    with pytest.raises(AssertionError, match=r"1 of 7 atoms .* atom 4 \(O\)"):
        assert_forces_agree(wrong, FORCES, tolerances.LAMMPS_FORCE, [1, 1, 1, 1, 8, 1, 1])


def test_two_swapped_atoms_are_found():
    with pytest.raises(AssertionError, match="2 of 7 atoms"):
        assert_forces_agree(FORCES[[1, 0, 2, 3, 4, 5, 6]], FORCES, tolerances.LAMMPS_FORCE)


def test_swapped_virial_components_are_named():
    with pytest.raises(AssertionError, match=r"yz .* xz"):
        assert_virials_agree(VIRIAL[[0, 1, 2, 4, 3, 5]], VIRIAL, tolerances.LAMMPS_VIRIAL_PER_ATOM)


def test_a_virial_with_the_wrong_sign_is_found():
    with pytest.raises(AssertionError, match="xx"):
        assert_virials_agree(-VIRIAL, VIRIAL, tolerances.LAMMPS_VIRIAL_PER_ATOM)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_values_that_are_not_finite_never_agree(wrong):
    broken = FORCES.copy()
    broken[3, 1] = wrong
    with pytest.raises(AssertionError, match="atom 3"):
        assert_forces_agree(broken, FORCES, 1e9)
    with pytest.raises(AssertionError, match="differ"):
        assert_energies_agree(wrong, 0.0, 1, 1e9)
    with pytest.raises(AssertionError, match="differ"):
        assert_virials_agree(np.where(np.arange(6) == 2, wrong, VIRIAL), VIRIAL, 1e9)


def test_an_energy_error_of_one_mev_is_found():
    with pytest.raises(AssertionError, match="per atom"):
        assert_energies_agree(-31.5, -31.501, 7, tolerances.LAMMPS_ENERGY_PER_ATOM)


@pytest.mark.parametrize("found", [FORCES[:6], FORCES[:, :2], FORCES.ravel()])
def test_arrays_of_other_shapes_never_agree(found):
    with pytest.raises(AssertionError, match="shapes"):
        assert_forces_agree(found, FORCES, 1e9)


def test_a_scalar_is_not_accepted_as_a_virial():
    with pytest.raises(AssertionError, match="shapes"):
        assert_virials_agree(VIRIAL[0], VIRIAL, 1e9)
