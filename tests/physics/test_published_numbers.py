"""Numbers that the workflow commands give for the shipped models, against measurements and independent calculations.

Measured: thermal expansion of silicon, Y. Okada, Y. Tokumaru, J. Appl. Phys. 56, 314 (1984); heat capacity of silicon
at 298 K, 19.8 J/K/mol (NIST-JANAF); fundamental frequencies of CO2, 667, 1333 and 2349 1/cm (NIST, T. Shimanouchi).
"""

import numpy as np
import pytest
from ase.build import bulk, fcc100, molecule
from ase.units import GPa

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.engines.lammps.cases import Case, run_cases
from mlip_lammps.workflows import (
    adsorb,
    elastic_tensor,
    phonons,
    quasi_harmonic,
    relax,
    surface_energies,
    vibrations,
)
from mlip_lammps.workflows.surfaces.adsorption import fixed_bottom

pytestmark = pytest.mark.physics


@pytest.fixture(scope="module")
def silicon_file():
    return compiled_model("silicon-pbe", dtype="float64")


@pytest.fixture(scope="module")
def silicon(silicon_file):
    return MlipCalculator(silicon_file)


@pytest.fixture(scope="module")
def crystal(silicon):
    return relax(bulk("Si"), silicon, cell="free", force_tolerance=1e-5, keeps_symmetry=True).atoms


@pytest.fixture(scope="module")
def nickel():
    return MlipCalculator(compiled_model("nickel-co2-pbe", dtype="float64"))


def test_elastic_constants_equal_those_from_stresses_of_lammps(silicon, silicon_file):
    """A uniaxial strain of diamond moves no atom relative to the cell, so LAMMPS needs no relaxation."""
    cubic = relax(bulk("Si", cubic=True), silicon, cell="isotropic", force_tolerance=1e-5).atoms
    strain, cases = 5e-3, []
    for sign in (1, -1):
        atoms = cubic.copy()
        atoms.set_cell(cubic.cell[:] @ np.diag([1 + sign * strain, 1, 1]), scale_atoms=True)
        cases.append(Case(f"{sign}", atoms))
    found = run_cases(cases, silicon_file, 1, silence_seconds=120)
    stresses = [found.results[case.name].evaluation.stress for case in cases]
    c11, c12 = ((stresses[0] - stresses[1]) / (2 * strain) / GPa)[:2]
    expected = elastic_tensor(cubic, silicon).cubic()
    assert (c11, c12) == pytest.approx(expected[:2], abs=0.05)


def test_thermal_properties_of_silicon(crystal, silicon):
    found = phonons(crystal, silicon)
    capacity = float(np.interp(298.15, found.thermal.temperatures, found.thermal.heat_capacity_j_per_k_mol)) / 2
    assert capacity == pytest.approx(19.8, rel=0.03)
    expansion = quasi_harmonic(crystal, silicon, temperatures=range(0, 620, 20))
    linear = [expansion.at(t)["expansion_per_k"] / 3 for t in (80, 300, 600)]
    assert linear[0] < 0
    assert linear[1] == pytest.approx(2.6e-6, rel=0.2)
    assert linear[2] == pytest.approx(3.8e-6, rel=0.2)


def test_surface_energies_of_nickel_are_converged(nickel):
    crystal = relax(bulk("Ni", a=3.5), nickel, cell="free", force_tolerance=1e-4).atoms
    for miller, energy in (((1, 1, 1), 0.806), ((1, 0, 0), 0.998), ((1, 1, 0), 0.959)):
        (found,) = surface_energies(crystal, nickel, miller)
        assert found.surface_energy_j_per_m2 == pytest.approx(energy, abs=5e-3)
        assert abs(found.change_j_per_m2) < 1e-3
        assert abs(found.bulk_difference_per_atom) < 2e-4


def test_carbon_dioxide_on_nickel_and_in_the_gas(nickel):
    slab = fixed_bottom(fcc100("Ni", (3, 3, 4), a=3.5015, vacuum=8.0, periodic=True))
    study = adsorb(slab, molecule("CO2"), nickel)
    assert study.best.adsorption_energy == pytest.approx(-0.21, abs=0.01)
    assert {result.kind for result in study.results} == {"adsorbed", "desorbed", "duplicate"}
    gas = relax(study.gas, nickel, force_tolerance=1e-4).atoms
    assert vibrations(gas, nickel).frequencies_cm[-4:] == pytest.approx([667, 667, 1333, 2349], rel=0.06)
