"""The observables in the card of nickel-co2-pbe, for structures built here.

The lattice constant is the experimental one. The tests assert the order of the energies in the data
(github.com/zhangylch/REANN, commit 6ca3928, MIT; Zhang, Xia, Jiang, Phys. Rev. Lett. 127, 156002 (2021)): its coldest
frames with carbon dioxide in the gas, chemisorbed and dissociated have -207.70, -208.05 and -209.07 eV.
"""

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100
from ase.calculators.calculator import Calculator
from ase.constraints import FixAtoms

from mlip_lammps.analysis.thermo import read_thermo
from mlip_lammps.workflows.crystals.elastic import elastic_tensor
from mlip_lammps.workflows.crystals.equations_of_state import equation_of_state
from mlip_lammps.workflows.relaxation import Relaxation, relax
from mlip_lammps.workflows.timed_run import LammpsInput

MODEL = "nickel-co2-pbe"
A0 = 3.52
SIZE = (3, 3, 4)
GAS_HEIGHT = 5.5
FORCE_TOLERANCE = 0.01
OXYGENS, CARBON = [36, 37], 38


@pytest.fixture(scope="module")
def nickel(calculator) -> Atoms:
    """Return relaxed bulk nickel."""
    return relax(bulk("Ni", a=A0, cubic=True), calculator, cell="isotropic", force_tolerance=1e-4).atoms


@pytest.fixture(scope="module")
def slab(nickel, calculator) -> Atoms:
    """Return a relaxed clean Ni(100) slab with a fixed bottom layer."""
    slab = fcc100("Ni", SIZE, a=nickel.cell.lengths()[0], vacuum=8.0, periodic=True)
    slab.set_constraint(FixAtoms(mask=slab.get_tags() == SIZE[2]))
    return relax(slab, calculator, force_tolerance=FORCE_TOLERANCE).atoms


@pytest.fixture(scope="module")
def kinds(slab, calculator) -> dict[str, Relaxation]:
    """Return relaxed carbon dioxide in the gas, chemisorbed and dissociated."""
    half = slab.cell.lengths()[0] / SIZE[0] / 2
    molecules = {
        "gas": [(0, 1.17, GAS_HEIGHT), (0, -1.17, GAS_HEIGHT), (0, 0, GAS_HEIGHT)],
        # between hollow and bridge, one oxygen over the next bridge
        "chemisorbed": [(0, half / 2 + 1.2, 2.0), (0, half / 2 - 1.1, 1.7), (0, half / 2, 1.5)],
        # carbon monoxide in one hollow, oxygen in the next but one
        "dissociated": [(2 * half, 2 * half, 0.9), (0, 0, 2.4), (0, 0, 1.2)],
    }
    return {name: relax_on(slab, places, calculator) for name, places in molecules.items()}


def relax_on(slab: Atoms, places: list[tuple[float, float, float]], calculator: Calculator) -> Relaxation:
    """Relax O, O and C at ``places`` from the hollow site in the middle of the slab."""
    top = slab.positions[slab.get_tags() == 1]
    half = slab.cell.lengths()[0] / SIZE[0] / 2
    hollow = top[len(top) // 2] + [half, half, 0]
    atoms = slab.copy()
    atoms += Atoms("OOC", positions=hollow + np.array(places))
    return relax(atoms, calculator, force_tolerance=FORCE_TOLERANCE)


def bonds(found: Relaxation) -> np.ndarray:
    """Return the two C-O distances in ascending order."""
    return np.sort(found.atoms.get_distances(CARBON, OXYGENS, mic=True))


def test_lattice_constant_of_nickel(nickel, calculator):
    assert nickel.cell.lengths()[0] == pytest.approx(A0, rel=0.01)
    assert A0 * equation_of_state(bulk("Ni", a=A0), calculator).length_factor == pytest.approx(A0, rel=0.01)


def test_nickel_is_a_stable_crystal(nickel, calculator):
    assert elastic_tensor(nickel, calculator).is_stable


def test_energies_fall_from_gas_to_chemisorbed_to_dissociated(kinds):
    assert kinds["chemisorbed"].energy < kinds["gas"].energy - 0.05
    assert kinds["dissociated"].energy < kinds["chemisorbed"].energy - 0.2


def test_each_structure_relaxes_to_its_named_state(kinds):
    gas, chemisorbed, dissociated = (kinds[name] for name in ("gas", "chemisorbed", "dissociated"))
    assert gas.atoms.get_angle(*OXYGENS[:1], CARBON, *OXYGENS[1:], mic=True) > 175
    assert bonds(gas) == pytest.approx([1.17, 1.17], abs=0.03)
    assert 110 < chemisorbed.atoms.get_angle(*OXYGENS[:1], CARBON, *OXYGENS[1:], mic=True) < 145
    assert bonds(chemisorbed).max() < 1.5
    assert bonds(dissociated)[0] == pytest.approx(1.19, abs=0.06)
    assert bonds(dissociated)[1] > 2.5


def test_carbon_dioxide_keeps_the_slab_intact(kinds, slab):
    for found in kinds.values():
        moved = np.linalg.norm(found.atoms.positions[:36] - slab.positions, axis=1)
        assert moved.max() < 0.4
        assert found.largest_force < FORCE_TOLERANCE


@pytest.mark.physics
@pytest.mark.parametrize("calculator", ["compiled"], indirect=True)
def test_lammps_relaxes_it_to_the_same_energy_and_keeps_it_adsorbed(nickel, kinds, compiled_file, inputs, tmp_path):
    """The input builds the same slab and molecule, and runs 2 ps at 300 K."""
    variables = {"model": compiled_file, "a": nickel.cell.lengths()[0]}
    run = LammpsInput(inputs / "in.nickel_co2", variables, n_ranks=2)
    assert run.run(4000, tmp_path).n_atoms == 39
    relaxed, dynamics = read_thermo(tmp_path / "log.lammps")
    assert relaxed["PotEng"][-1] == pytest.approx(kinds["chemisorbed"].energy, abs=1e-3)
    assert all(np.isfinite(column).all() for column in dynamics.values())
    for atoms in ase.io.read(tmp_path / "nickel_co2.lammpstrj", ":", format="lammps-dump-text"):
        (carbon,) = (atom.index for atom in atoms if atom.symbol == "C")
        oxygens = [atom.index for atom in atoms if atom.symbol == "O"]
        assert atoms.get_distances(carbon, oxygens, mic=True).min() < 1.5
        assert atoms.positions[carbon, 2] - np.sort(atoms.positions[atoms.numbers == 28, 2])[-9:].mean() < 3.0
