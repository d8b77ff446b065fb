"""Adsorption sites and energies, with ASE's EMT and the shipped nickel model."""

import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import add_adsorbate, bcc110, bulk, fcc100, fcc110, fcc111, molecule
from ase.calculators.emt import EMT

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.workflows import Tasks, adsorb, relax
from mlip_lammps.workflows.relaxation import Relaxation
from mlip_lammps.workflows.surfaces.adsorption import _judged, fixed_bottom, read_adsorbate
from mlip_lammps.workflows.surfaces.sites import find_sites, site_of


@pytest.fixture(scope="module")
def slab() -> Atoms:
    return fixed_bottom(fcc111("Cu", (2, 2, 3), a=3.59, vacuum=8.0, periodic=True))


@pytest.mark.parametrize(
    ("build", "symbol", "names"),
    [
        (fcc111, "Cu", ["top", "bridge", "hollow3a", "hollow3b"]),
        (fcc100, "Cu", ["top", "bridge", "hollow4"]),
        (fcc110, "Cu", ["top", "bridgea", "bridgeb", "hollow4"]),
        (bcc110, "Fe", ["top", "bridgea", "bridgeb", "hollow3"]),
    ],
)
@pytest.mark.parametrize("size", [(1, 1, 4), (2, 3, 3)])
def test_each_surface_has_its_sites_in_any_cell(build, symbol, names, size):
    if build is bcc110 and size[0] == 1:
        size = (1, 1, 6)
    found = find_sites(build(symbol, size, vacuum=8.0, periodic=True))
    assert [site.name for site in found] == names


def test_sites_are_where_ase_puts_adsorbates(slab):
    sites = find_sites(slab)
    for name, kind in (("ontop", "top"), ("bridge", "bridge"), ("fcc", "hollow3"), ("hcp", "hollow3")):
        placed = slab.copy()
        add_adsorbate(placed, "O", 1.5, name)
        assert site_of(placed.positions[-1], slab, sites).startswith(kind)


def test_a_bulk_crystal_in_another_orientation_is_no_slab():
    with pytest.raises(UserInputError, match="expected periodic ones in the xy plane"):
        find_sites(bulk("Cu"))


def test_adsorption_energies_are_relative_to_slab_and_gas(slab, tmp_path):
    study = adsorb(slab, read_adsorbate("O"), EMT(), sites=["hollow"], tasks=Tasks(tmp_path, n_ranks=2))
    best = study.best
    assert best.final_site.startswith("hollow3")
    by_hand = slab.copy()
    add_adsorbate(by_hand, "O", 1.5, "fcc")
    relaxed = relax(by_hand, EMT(), force_tolerance=0.01)
    oxygen = Atoms("O")
    oxygen.calc = EMT()
    energy = relaxed.energy - study.slab_energy - oxygen.get_potential_energy()
    assert {round(one.adsorption_energy, 2) for one in study.results} >= {round(energy, 2)}
    half = adsorb(slab, read_adsorbate("O"), EMT(), sites=["hollow"], gas_reference=molecule("O2"))
    expected = best.adsorption_energy + oxygen.get_potential_energy() - 0.5 * half.gas_energy
    assert half.best.adsorption_energy == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("gas", "n_gas", "words"), [("O2", 1.0, "1 O2 .* expected 0.5"), ("CO", None, "no number of CO")]
)
def test_a_gas_reference_with_other_atoms_is_refused(slab, gas, n_gas, words):
    with pytest.raises(UserInputError, match=words):
        adsorb(slab, read_adsorbate("O"), EMT(), sites=["hollow"], gas_reference=molecule(gas), n_gas=n_gas)


def test_fixed_atoms_stay_and_results_are_sorted(slab):
    study = adsorb(slab, read_adsorbate("CO"), EMT(), orientations=["upright", "inverted"], sites=["top", "bridge"])
    energies = [one.adsorption_energy for one in study.results]
    assert energies == sorted(energies)
    for one in study.results:
        np.testing.assert_array_equal(one.atoms.positions[:4], slab.positions[:4])
    assert {one.orientation for one in study.results} == {"upright", "inverted"}


def test_results_that_slide_to_the_same_place_are_duplicates(slab):
    study = adsorb(slab, read_adsorbate("O"), EMT())
    duplicates = [one for one in study.results if one.kind == "duplicate"]
    assert {one.site for one in duplicates} == {"top", "bridge"}
    assert {one.note for one in duplicates} <= {"of 1", "of 2"}


def relaxed_to(slab: Atoms, places: list) -> Relaxation:
    atoms = slab.copy()
    atoms += Atoms("CO", positions=slab.positions[-1] + np.array(places))
    return Relaxation(atoms, 1.0, 2.0, 3, 0.0, np.zeros((len(atoms), 3)), None, None)


@pytest.mark.parametrize(
    ("places", "kind"),
    [
        ([[0, 0, 1.8], [0, 0, 2.95]], "adsorbed"),
        ([[0, 0, 5.0], [0, 0, 6.15]], "desorbed"),
        ([[0, 0, 1.8], [2.5, 0, 1.8]], "dissociated"),
    ],
)
def test_desorbed_and_dissociated_results_are_named(slab, places, kind):
    found = _judged("top", "upright", relaxed_to(slab, places), slab, 0.5, find_sites(slab))
    assert found.kind == kind
    assert found.adsorption_energy == 0.5
    assert found.height == pytest.approx(places[0][2])


def test_a_result_that_does_not_relax_comes_last_with_its_reason(slab):
    found = _judged("top", "upright", MlipError("no"), slab, 0.5, find_sites(slab))
    assert (found.kind, found.note, found.adsorption_energy) == ("failed", "no", None)


def test_an_orientation_that_repeats_another_is_left_out(slab):
    assert {one.orientation for one in adsorb(slab, read_adsorbate("O"), EMT(), sites=["top"]).results} == {"upright"}
    nitrogen = adsorb(slab, read_adsorbate("N2"), EMT(), sites=["top"]).results
    assert {one.orientation for one in nitrogen} == {"upright", "flat", "flat-turned"}


def test_a_molecule_that_the_box_cuts_is_whole_on_the_slab(slab):
    boxed = molecule("CO")
    boxed.set_cell([12.0, 12.0, 12.0])
    boxed.pbc = True
    boxed.wrap()
    assert np.ptp(boxed.positions, axis=0).max() > 10.0
    found, expected = (adsorb(slab, gas, EMT(), sites=["top"]).best for gas in (boxed, read_adsorbate("CO")))
    assert found.adsorption_energy == pytest.approx(expected.adsorption_energy, abs=2e-3)


def test_a_slab_that_the_box_cuts_is_whole(slab):
    cut = slab.copy()
    cut.positions += 0.4 * cut.cell[2]
    cut.wrap()
    assert np.ptp(cut.positions[:, 2]) > 10.0
    found, expected = (adsorb(one, read_adsorbate("O"), EMT(), sites=["hollow"]).best for one in (cut, slab))
    assert found.adsorption_energy == pytest.approx(expected.adsorption_energy, abs=2e-3)


def test_bad_input_is_refused(slab):
    flat = fcc111("Cu", (2, 2, 3), a=3.59)
    with pytest.raises(UserInputError, match="a cell vector of zeros; give a cell with vacuum"):
        adsorb(flat, read_adsorbate("O"), EMT())
    with pytest.raises(UserInputError, match="XYZ is neither an element nor a molecule"):
        read_adsorbate("XYZ")
    with pytest.raises(UserInputError, match="hollow4 is not a site of this slab; give some of top, bridge"):
        adsorb(slab, read_adsorbate("O"), EMT(), sites=["hollow4"])
    with pytest.raises(UserInputError, match="to is not a site of this slab; give some of top, bridge"):
        adsorb(slab, read_adsorbate("O"), EMT(), sites=["to"])
    with pytest.raises(UserInputError, match="sideways is not an orientation"):
        adsorb(slab, read_adsorbate("O"), EMT(), orientations=["sideways"])


def test_the_command_finds_carbon_dioxide_chemisorbed_and_desorbed_on_nickel(tmp_path, monkeypatch, capsys):
    """The card of the model states -0.21 eV."""
    monkeypatch.chdir(tmp_path)
    nickel = fcc100("Ni", (3, 3, 4), a=3.5015, vacuum=8.0, periodic=True)
    nickel.info.clear()
    ase.io.write("ni.extxyz", nickel)
    ase.io.write("co2.xyz", molecule("CO2"))
    command = ["adsorb", "nickel-co2-pbe", "ni.extxyz", "--adsorbate", "co2.xyz"]
    assert main([*command, "--sites", "bridge", "--ranks", "2"]) == 0
    printed = capsys.readouterr().out
    assert "desorbed" in printed
    results = json.loads(Path("out/adsorb/results.json").read_text())["results"]
    assert results[0]["kind"] == "adsorbed"
    assert results[0]["adsorption_energy"] == pytest.approx(-0.21, abs=0.02)
    chemisorbed = ase.io.read("out/adsorb/adsorbed-1.extxyz")
    assert len(chemisorbed) == 39
    assert Path("out/adsorb/adsorbed.png").is_file()
    inputs = json.loads(Path("out/adsorb/run.json").read_text())["inputs"]
    assert [Path(entry["path"]).name for entry in inputs.values()][1:] == ["ni.extxyz", "co2.xyz"]
    assert main(command[:3]) == 2
    assert "no adsorbate is given" in capsys.readouterr().err
    low = fcc100("Ni", (3, 3, 4), a=3.5015, vacuum=4.0, periodic=True)
    low.info.clear()
    ase.io.write("low.extxyz", low)
    assert main(["adsorb", "nickel-co2-pbe", "low.extxyz", "--adsorbate", "CO2", "--out", "low"]) == 2
    assert "the vacuum is 8.00 angstrom, expected at least 9" in capsys.readouterr().err
