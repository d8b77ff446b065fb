"""The observables in the card of silicon-pbe, for structures built here.

Reference numbers: lattice constant, bulk modulus and phonons are PBE with VASP, from the examples of phonopy
(github.com/phonopy/phonopy, commit 3a3e0f0, BSD-3-Clause: Si-QHA and Si-gruneisen); elastic constants are PW91 with
CASTEP (github.com/libAtoms/silicon-testing-framework).
"""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.units import GPa

from mlip_lammps.analysis.thermo import read_thermo
from mlip_lammps.workflows.crystals.elastic import elastic_tensor
from mlip_lammps.workflows.crystals.equations_of_state import EquationOfState, equation_of_state
from mlip_lammps.workflows.crystals.frequencies import phonon_frequencies
from mlip_lammps.workflows.relaxation import relax
from mlip_lammps.workflows.timed_run import LammpsInput

MODEL = "silicon-pbe"
A0 = 5.470
BULK_MODULUS_GPA = 88.7
C11_C12_C44_GPA = (153.3, 56.3, 72.2)

PHONON_A = 5.4662
# Points of the primitive cell: X at (1/2, 0, 1/2), L at (1/2, 1/2, 1/2).
GAMMA, X, L = (0, 0, 0), (0.5, 0, 0.5), (0.5, 0.5, 0.5)
FREQ_THZ = {
    GAMMA: (0, 0, 0, 15.10, 15.10, 15.10),
    X: (4.40, 4.40, 12.05, 12.05, 13.43, 13.43),
    L: (3.31, 3.31, 11.07, 12.08, 14.34, 14.34),
}
EXPANSION = (5.4479, 5.4662, 5.4843)

CLOSEST = 1.8
"""Angstrom; the bond length is 2.35."""
MELTED = 2.0
"""Mean square displacement in angstrom^2; atoms of the crystal vibrate by 0.3 angstrom at the melting point."""


def crystal(a: float) -> Atoms:
    return bulk("Si", a=a, cubic=True)


@pytest.fixture(scope="module")
def equation(calculator) -> EquationOfState:
    return equation_of_state(bulk("Si", a=A0), calculator)


def test_lattice_constant(equation):
    assert A0 * equation.length_factor == pytest.approx(A0, rel=2e-3)


def test_bulk_modulus(equation):
    assert equation.bulk_modulus_gpa == pytest.approx(BULK_MODULUS_GPA, rel=0.05)


def test_elastic_constants(calculator):
    at_rest = relax(crystal(A0), calculator, cell="isotropic", force_tolerance=1e-4).atoms
    tensor = elastic_tensor(at_rest, calculator)
    assert tensor.cubic() == pytest.approx(C11_C12_C44_GPA, rel=0.12)
    assert tensor.is_stable


def test_phonons_at_gamma_x_and_l(calculator):
    found = phonon_frequencies(crystal(PHONON_A), calculator, (2, 2, 2), list(FREQ_THZ))
    np.testing.assert_allclose(found.freq_thz, list(FREQ_THZ.values()), atol=0.5)


def test_transverse_acoustic_modes_rise_on_expansion(calculator):
    """Silicon has negative Grueneisen parameters."""
    lowest = [phonon_frequencies(crystal(a), calculator, (2, 2, 2), [X, L]).freq_thz[:, 0] for a in EXPANSION]
    assert (np.diff(lowest, axis=0) > 0).all()


def test_compressed_to_40_gpa_energy_and_pressure_only_rise(calculator):
    energies, pressures = [], []
    for a in np.linspace(0.99 * A0, 0.9 * A0, 19):
        atoms = bulk("Si", a=a)
        atoms.calc = calculator
        energies.append(atoms.get_potential_energy())
        pressures.append(-atoms.get_stress()[:3].mean() / GPa)
    assert (np.diff(energies) > 0).all()
    assert (np.diff(pressures) > 0).all()
    assert pressures[-1] > 40


def test_two_nuclei_repel(calculator):
    """Below 0.8 angstrom, the ZBL repulsion dominates any extrapolation of the trained energy."""
    energies = []
    for distance in np.linspace(0.3, 0.8, 11):
        pair = Atoms("Si2", positions=[[0, 0, 0], [distance, 0, 0]], calculator=calculator)
        energies.append(pair.get_potential_energy())
        assert pair.get_forces()[1, 0] > 10
    assert (np.diff(energies) < 0).all()


def test_an_atom_pushed_onto_its_neighbour_returns(calculator):
    atoms = crystal(A0)
    atoms.calc = calculator
    before = atoms.get_potential_energy()
    bond = atoms.get_distance(0, 1, mic=True, vector=True)
    unit = bond / np.linalg.norm(bond)
    atoms.positions[0] += bond - 0.7 * unit
    assert atoms.get_distance(0, 1, mic=True) == pytest.approx(0.7)
    assert atoms.get_potential_energy() - before > 10
    assert atoms.get_forces()[0] @ unit < -10
    assert atoms.get_forces()[1] @ unit > 10


@pytest.mark.physics
def test_it_melts_and_quenches_and_the_glass_is_compressed_to_25_gpa(compiled_file, inputs, tmp_path):
    """2,500 K to 500 K in 10 ps, then 4 ps under rising pressure; LAMMPS stops a run if atoms come too close."""
    variables = dict(model=compiled_file, cells=2, melt_steps=1500, quench_steps=5000, relax_steps=1500)
    variables |= dict(press_steps=2000, pressure_bar=250_000)
    run = LammpsInput(inputs / "in.silicon_amorphous", variables, n_ranks=2)
    assert run.run(2000, tmp_path).n_atoms == 64
    melt, _quench, glass, pressed = thermo = read_thermo(tmp_path / "log.lammps")
    for stage in thermo:
        assert all(np.isfinite(column).all() for column in stage.values())
    assert melt["c_moved[4]"][-1] > MELTED
    assert melt["PotEng"][-1] > glass["PotEng"][-1] + 64 * 0.2
    assert glass["Temp"].mean() == pytest.approx(500, abs=100)
    assert 1.9 < glass["Density"].min() <= glass["Density"].max() < 2.9
    assert pressed["Press"][-2:].mean() > 180_000
    assert glass["Density"].max() < pressed["Density"][-1] < 5
    for atoms in ase.io.read(tmp_path / "compression.lammpstrj", ":", format="lammps-dump-text"):
        distances = atoms.get_all_distances(mic=True)
        assert distances[distances > 0].min() > CLOSEST


@pytest.mark.physics
@pytest.mark.parametrize("pressure_gpa", [20, 30])
def test_a_suddenly_compressed_crystal_stays_finite(pressure_gpa, compiled_file, inputs, tmp_path):
    """At 300 K; the barostat overshoots."""
    variables = {"model": compiled_file, "cells": 2, "pressure_bar": 1e4 * pressure_gpa}
    run = LammpsInput(inputs / "in.silicon_npt", variables, n_ranks=2)
    assert run.run(4000, tmp_path).n_atoms == 64
    (thermo,) = read_thermo(tmp_path / "log.lammps")
    assert all(np.isfinite(column).all() for column in thermo.values())
    assert thermo["Press"][-20:].mean() == pytest.approx(1e4 * pressure_gpa, rel=0.15)
    assert 3.0 < thermo["v_a"][-20:].mean() < 5.4
