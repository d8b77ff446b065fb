"""Slabs and surface energies, with ASE's EMT and the shipped nickel model."""

import json
from pathlib import Path
from types import SimpleNamespace

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc100, fcc111
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms
from ase.units import J, m

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows import Tasks, cut_slabs, relax, surface_energies
from mlip_lammps.workflows.surfaces.slabs import default_layers, require_slab


@pytest.fixture(scope="module")
def copper() -> Atoms:
    return relax(bulk("Cu", a=3.59, cubic=True), EMT(), cell="isotropic", force_tolerance=1e-6).atoms


def energy(atoms: Atoms) -> float:
    atoms.calc = EMT()
    return atoms.get_potential_energy()


@pytest.mark.parametrize(("miller", "build"), [((1, 1, 1), fcc111), ((1, 0, 0), fcc100)])
def test_a_slab_equals_that_of_ase(miller, build, copper):
    (slab,) = cut_slabs(copper, miller, 5, vacuum=12.0)
    expected = build("Cu", (1, 1, 5), a=copper.cell.lengths()[0], vacuum=6.0, periodic=True)
    assert len(slab) == len(expected)
    assert energy(slab) == pytest.approx(energy(expected), abs=1e-9)
    np.testing.assert_allclose(np.sort(slab.positions[:, 2]), np.sort(expected.positions[:, 2]), atol=1e-6)
    np.testing.assert_allclose(slab.cell[2], [0, 0, expected.cell[2, 2]], atol=1e-6)


def test_a_primitive_and_a_turned_cell_give_the_same_slab(copper):
    primitive = bulk("Cu", a=copper.cell.lengths()[0])
    primitive.rotate(30, (1, 2, 3), rotate_cell=True)
    (one,), (other,) = (cut_slabs(atoms, (2, 1, 1), 8) for atoms in (copper, primitive))
    assert energy(one) == pytest.approx(energy(other), abs=1e-6)
    assert len(one) == 8


def test_all_terminations_of_a_crystal_are_cut_once():
    silicon = bulk("Si", a=5.43)
    shuffle, glide = sorted(cut_slabs(silicon, (1, 1, 1), 3), key=lambda slab: np.ptp(slab.positions[:, 2]))
    assert np.ptp(glide.positions[:, 2]) - np.ptp(shuffle.positions[:, 2]) == pytest.approx(5.43 / 3**0.5 / 2, abs=0.1)
    assert len(cut_slabs(silicon, (1, 0, 0), 3)) == 1
    # both cuts of rock salt give a magnesium and an oxygen surface, and only one in the other direction
    (polar,) = cut_slabs(bulk("MgO", "rocksalt", a=4.2), (1, 1, 1), 3)
    assert polar.get_chemical_formula() == "Mg3O3"
    assert {len(cut_slabs(bulk("ZnS", "zincblende", a=5.4), (1, 1, 1), 3))} == {2}


def test_supercell_and_fixed_layers(copper):
    (slab,) = cut_slabs(copper, (1, 1, 1), 4, supercell=(2, 3), fixed_layers=2)
    assert len(slab) == 24
    (constraint,) = slab.constraints
    assert isinstance(constraint, FixAtoms)
    fixed = slab.positions[constraint.index, 2]
    assert len(fixed) == 12
    assert fixed.max() < np.delete(slab.positions[:, 2], constraint.index).min()


def test_surface_energies_of_copper_do_not_depend_on_the_thickness(copper, tmp_path):
    tasks = Tasks(tmp_path, n_ranks=2)
    found = {h: surface_energies(copper, EMT(), h, tasks=tasks)[0] for h in ((1, 1, 1), (1, 0, 0), (1, 1, 0))}
    close, square, open_ = (one.surface_energy_j_per_m2 for one in found.values())
    assert close < square < open_
    for one in found.values():
        assert one.with_bulk_j_per_m2[-1] == pytest.approx(one.surface_energy_j_per_m2, abs=1e-3)
        assert abs(one.change_j_per_m2) < 1e-3
        assert abs(one.bulk_difference_per_atom) < 1e-4
        assert one.error_j_per_m2 < 1e-3
    one = found[1, 1, 1]
    slab = fcc111("Cu", (1, 1, 6), a=copper.cell.lengths()[0], vacuum=7.5, periodic=True)
    relaxed = relax(slab, EMT(), force_tolerance=5e-3)
    by_hand = (relaxed.energy - 6 * energy(copper) / 4) / (2 * one.area) / (J / m**2)
    assert one.with_bulk_j_per_m2[0] == pytest.approx(by_hand, abs=1e-4)


def test_a_fixed_bottom_does_not_change_the_surface_energy(copper):
    """The energy of an unrelaxed surface is 0.0026 J/m^2 higher."""
    options = {"layers": (8, 9, 10), "force_tolerance": 1e-3}
    (free,), (fixed,) = (surface_energies(copper, EMT(), (1, 1, 0), fixed_layers=n, **options) for n in (0, 4))
    unrelaxed = (fixed.energies_before - fixed.n_atoms * energy(copper) / 4) / (2 * fixed.area) / (J / m**2)
    assert unrelaxed[0] - free.surface_energy_j_per_m2 > 2e-3
    assert fixed.surface_energy_j_per_m2 == pytest.approx(free.surface_energy_j_per_m2, abs=2e-4)
    assert fixed.bulk_difference_per_atom == pytest.approx(0, abs=1e-4)


def test_two_thicknesses_have_no_error(copper):
    (found,) = surface_energies(copper, EMT(), (1, 0, 0), layers=(6, 7))
    assert found.error_j_per_m2 is None
    assert found.surface_energy_j_per_m2 == pytest.approx(0.99, abs=0.3)


def test_invalid_slabs_are_refused(copper):
    with pytest.raises(UserInputError, match="the Miller indices are 0 0 0"):
        cut_slabs(copper, (0, 0, 0), 3)
    with pytest.raises(UserInputError, match="3 layers with 3 fixed ones"):
        cut_slabs(copper, (1, 1, 1), 3, fixed_layers=3)
    with pytest.raises(UserInputError, match=r"supercell is \(0, 1\); give 2 numbers"):
        cut_slabs(copper, (1, 1, 1), 3, supercell=(0, 1))
    with pytest.raises(UserInputError, match="1 thickness is too few"):
        surface_energies(copper, EMT(), (1, 1, 1), layers=[4])


def test_a_thin_slab_and_a_narrow_vacuum_are_refused(copper):
    model = SimpleNamespace(model=SimpleNamespace(cutoff=5.0, elements=("Cu",), metadata={}))
    with pytest.raises(UserInputError, match=r"the slab is 4.15 angstrom thick, expected at least the cutoff .*, 5"):
        require_slab(cut_slabs(copper, (1, 1, 1), 3)[0], model)
    with pytest.raises(UserInputError, match=r"the vacuum is 9.00 angstrom, expected at least 10"):
        require_slab(cut_slabs(copper, (1, 1, 1), 5, vacuum=9.0)[0], model)
    require_slab(cut_slabs(copper, (1, 1, 1), 5)[0], model)
    assert default_layers(copper, model, (1, 1, 1)) == (6, 7, 8, 9)


def test_the_command_computes_several_surfaces_of_nickel(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    ase.io.write("ni.extxyz", bulk("Ni", a=3.5))
    words = "slab nickel-co2-pbe ni.extxyz --miller 1 1 1 --miller 1 0 0 --miller 1 1 1"
    command = words.split()
    assert main([*command, "--ranks", "2"]) == 0
    assert "(1 1 1) 1" in capsys.readouterr().out
    surfaces = json.loads(Path("out/slab/results.json").read_text())["surfaces"]
    energies = [surface["surface_energy_j_per_m2"] for surface in surfaces]
    assert energies == pytest.approx([0.806, 0.998], abs=0.02)
    assert len(ase.io.read("out/slab/slab-111-1.extxyz", ":")) == 4
    assert main([*command, "--layers", "2", "3", "--out", "thin"]) == 2
    assert "the (1 1 1) slab of 2 layers is 2.02 angstrom thick, expected at least the" in capsys.readouterr().err
    assert main([*command, "--vacuum", "8", "--out", "narrow"]) == 2
    assert "the vacuum is 8.00 angstrom, expected at least 9" in capsys.readouterr().err
