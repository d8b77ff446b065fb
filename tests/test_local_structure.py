"""Coordination, angles, rings, order parameters and structure factors against what geometry says."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule

from mlip_lammps.analysis.local_structure import (
    bond_angles,
    bond_cutoff,
    coordination,
    crystalline_share,
    ring_sizes,
)
from mlip_lammps.analysis.motion import finite_size_correction
from mlip_lammps.analysis.rdf import RadialDistribution, radial_distribution
from mlip_lammps.analysis.structure_factor import structure_factor
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.boxes import build_box

SECOND_SHELL = 4.3


@pytest.fixture(scope="module")
def diamond() -> Atoms:
    atoms = bulk("Si", a=5.43).repeat(5)  # tilted
    atoms.rattle(0.05, seed=1)
    return atoms


@pytest.fixture(scope="module")
def gas() -> Atoms:
    rng = np.random.default_rng(1)
    return Atoms("Si500", rng.uniform(0.0, 21.6, (500, 3)), cell=[21.6] * 3, pbc=True)


def test_the_bonds_of_diamond_are_found(diamond):
    pair = radial_distribution([diamond], ("Si", "Si"), 8.0, 160)
    cutoff = bond_cutoff(pair)
    assert 2.6 < cutoff < 3.6  # between the first shell and the second, which is higher
    found = coordination([diamond, diamond], ("Si", "Si"), cutoff)
    assert found.shares == {4: 1.0}
    assert found.mean == 4.0
    assert ring_sizes(diamond, cutoff) == {6: 1.0}


def test_angles_of_diamond_are_tetrahedral(diamond):
    angles, density = bond_angles([diamond], 3.0)
    assert np.trapezoid(angles * density, angles) == pytest.approx(109.4, abs=0.3)
    assert np.sum(density) * (angles[1] - angles[0]) == pytest.approx(1.0)


def test_angles_of_water_are_those_of_the_molecule():
    water = molecule("H2O", cell=[8.0] * 3, pbc=True)
    angles, density = bond_angles([water], 1.2)
    assert angles[np.argmax(density)] == pytest.approx(103.9, abs=1.1)


def test_rings_of_a_ladder():
    """Two squares with a common edge: each of its two ends has a ring of six around both squares."""
    ladder = Atoms("C6", [(x, y, 0.0) for x in range(3) for y in range(2)])
    assert ring_sizes(ladder, 1.1) == {4: 0.8, 6: 0.2}


def test_order_tells_a_crystal_from_a_gas(diamond, gas):
    assert crystalline_share(diamond, SECOND_SHELL) == 1.0
    assert crystalline_share(gas, SECOND_SHELL) < 0.02
    with pytest.raises(UserInputError, match="not periodic"):
        crystalline_share(molecule("H2O"), SECOND_SHELL)


def test_coordination_counts_the_second_element_around_the_first():
    water = build_box(molecule("H2O"), 20, 1.0, seed=1)
    assert coordination([water], ("O", "H"), 1.2).mean == 2.0
    assert coordination([water], ("H", "O"), 1.2).mean == 1.0
    with pytest.raises(UserInputError, match="contains no Si"):
        coordination([water], ("Si", "H"), 1.2)


def test_structure_factor_of_spheres_that_exclude_each_other():
    """g(r) that steps from 0 to 1 at a has S(k) = 1 - 4 pi rho (sin ka - ka cos ka) / k^3."""
    a, density = 2.0, 0.01
    r = 0.01 * (np.arange(20000) + 0.5)
    found = structure_factor(RadialDistribution(r, (r > a).astype(float)), density, k_max=10.0)
    expected = 1.0 - 4.0 * np.pi * density * (np.sin(found.k * a) - found.k * a * np.cos(found.k * a)) / found.k**3
    np.testing.assert_allclose(found.s, expected, atol=1e-4)


def test_correction_for_the_box_is_that_of_stokes():
    """In water at 25 Celsius a sphere of 1 angstrom diffuses with 2.454e-9 m^2/s."""
    found = finite_size_correction(298.15, 0.89, 20.0)
    assert found == pytest.approx(2.837297 * 0.2454 / 20.0, rel=1e-3)
    with pytest.raises(UserInputError, match="viscosity is 0"):
        finite_size_correction(298.15, 0, 20.0)


def test_a_short_g_has_no_first_minimum():
    r = np.array([1.0, 1.1, 1.2])
    with pytest.raises(UserInputError, match="before its first minimum"):
        bond_cutoff(RadialDistribution(r, np.array([0.0, 0.5, 1.0])))
