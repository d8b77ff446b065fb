"""The observables in the card of water-revpbe0d3.

g_OO of the reference: first maximum of 111 frames of CP2K, revPBE0-D3, at about 300 K (C. Schran, K. Brezina,
O. Marsalek, J. Chem. Phys. 153, 104105 (2020); github.com/MarsalekGroup/paper-c-nnp, commit 35eca4a, CC-BY-SA-4.0).
"""

import ase.io
import numpy as np
import pytest
from ase import Atoms

from mlip_lammps.analysis.molecules import find_broken_molecules
from mlip_lammps.analysis.rdf import read_lammps_rdf
from mlip_lammps.analysis.thermo import read_thermo
from mlip_lammps.workflows.timed_run import LammpsInput

MODEL = "water-revpbe0d3"
FIRST_MAXIMUM = (2.83, 2.61)
N_ATOMS = 192
LONGEST_OH_BOND = 1.3
# time step 0.5 fs; g_OO excludes the first tenth of the first run
NVT_STEPS, NVE_STEPS = 44_000, 10_000


@pytest.fixture
def liquid(inputs) -> Atoms:
    """Return 64 H2O at 300 K, equilibrated with the model."""
    return ase.io.read(inputs / "water_64.data", format="lammps-data", Z_of_type={1: 1, 2: 8}, atom_style="atomic")


def test_forces_in_the_liquid_have_the_size_of_thermal_ones(liquid, calculator):
    """The root mean square force of the training data is 0.85 eV/angstrom."""
    liquid.calc = calculator
    assert 0.6 < np.sqrt((liquid.get_forces() ** 2).mean()) < 1.2


def test_pulling_a_hydrogen_off_its_oxygen_costs_energy(liquid, calculator):
    """Stretching to 1.2 angstrom costs 15 kT; beyond, the hydrogen approaches the acceptor of its hydrogen bond."""
    oxygen = int(np.flatnonzero(liquid.numbers == 8)[0])
    hydrogens = np.flatnonzero(liquid.numbers == 1)
    hydrogen = int(hydrogens[np.argmin(liquid.get_distances(oxygen, hydrogens, mic=True))])
    energies = []
    for length in np.linspace(1.0, 1.2, 5):
        liquid.set_distance(oxygen, hydrogen, length, fix=0, mic=True)
        liquid.calc = calculator
        energies.append(liquid.get_potential_energy())
    assert (np.diff(energies) > 0).all()
    assert energies[-1] > energies[0] + 0.4


@pytest.mark.physics
def test_20_ps_at_300_k_keep_every_molecule_and_the_structure_of_the_reference(compiled_file, inputs, tmp_path):
    variables = {"model": compiled_file, "data": inputs / "water_64.data"}
    run = LammpsInput(inputs / "in.water_nvt", variables, n_ranks=2)
    assert run.run(NVT_STEPS, tmp_path).n_atoms == N_ATOMS
    frames = ase.io.read(tmp_path / "water.lammpstrj", ":", format="lammps-dump-text")
    assert len(frames) == NVT_STEPS // 100 + 1
    assert len(find_broken_molecules(frames, ("O", "H"), 2, LONGEST_OH_BOND)) == 0
    r, g = read_lammps_rdf(tmp_path / "rdf_oo.txt").highest_peak()
    assert r == pytest.approx(FIRST_MAXIMUM[0], abs=0.05)
    assert g == pytest.approx(FIRST_MAXIMUM[1], rel=0.10)
    assert read_thermo(tmp_path / "log.lammps")[-1]["Temp"].mean() == pytest.approx(300, abs=10)


@pytest.mark.physics
def test_the_energy_is_conserved_without_a_thermostat(compiled_file, inputs, tmp_path):
    variables = {"model": compiled_file, "data": inputs / "water_64.data"}
    LammpsInput(inputs / "in.water_nve", variables, n_ranks=2).run(NVE_STEPS, tmp_path)
    (thermo,) = read_thermo(tmp_path / "log.lammps")
    slope = np.polyfit(thermo["Time"], thermo["Econserve"] / N_ATOMS, 1)[0]
    assert thermo["Time"][-1] == pytest.approx(5.0)
    assert abs(slope) < 1e-4  # eV per atom and ps
