"""Masses that belong to other elements than pair_coeff names: swapped elements run, and are wrong."""

import pytest
from lammps_deck import deck, pair_coeff
from lammps_run import run_lammps
from lammps_structures import write_data

from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
H_AND_O = "mass 1 1.008\nmass 2 15.999"
BY_ATOM = "fix masses all property/atom rmass ghost yes\n"
H_AND_O_BY_ATOM = f"{BY_ATOM}set type 1 mass 1.008\nset type 2 mass 15.999"


@pytest.fixture(scope="module")
def model(compile_once):
    return compile_once("two_layers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masses")
    write_data(folder / "box.data", rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2), ELEMENTS)
    return folder


def warnings(folder, masses: str, coeff: str) -> list[str]:
    text = deck("hybrid/overlay mlip/torch zero 5.0", f"{pair_coeff(coeff)}\npair_coeff * * zero", last=masses)
    output = run_lammps(f"{text}\nrun 0\nrun 0\n", 2, folder).output
    return [line for line in output.splitlines() if "has the mass of" in line]


SWAPPED = {
    "both": (H_AND_O, "O H", "atom type 1 is O but has the mass of H (1.008 amu), atom type 2 is H but has the mass"),
    "rounded": ("mass 1 1.0\nmass 2 16.0", "O H", "atom type 2 is H but has the mass of O (16 amu); check the"),
    "one element twice": ("mass 1 15.9994\nmass 2 15.9994", "H NULL", "type 1 is H but has the mass of O (15.9994"),
    "masses of atoms": (H_AND_O_BY_ATOM, "O H", "atom type 1 is O but has the mass of H (1.008 amu), atom type 2 is H"),
}


@pytest.mark.parametrize("name", SWAPPED)
def test_the_mass_of_another_element_is_told_once(name, model, folder):
    masses, symbols, message = SWAPPED[name]
    told = warnings(folder, masses, f"mlip/torch {model} {symbols}")
    assert len(told) == 1, told
    assert told[0].startswith("WARNING: pair_style mlip/torch: atom type")
    assert message in told[0]
    assert "; check the masses and the order of the elements in pair_coeff" in told[0]


SILENT = {
    "the right order": (H_AND_O, "H O"),
    "deuterium and oxygen 18": ("mass 1 2.014\nmass 2 17.999", "H O"),
    "tritium": ("mass 1 3.016\nmass 2 15.999", "H O"),
    "one for all": ("mass * 1.0", "H O"),
    "of oxygen for all": ("mass * 15.999", "H O"),
    "masses of atoms": (H_AND_O_BY_ATOM, "H O"),
    "isotopes mixed in a type": (f"{H_AND_O_BY_ATOM}\ngroup heavy id 1:9\nset group heavy mass 2.014", "H O"),
}


@pytest.mark.parametrize("name", SILENT)
def test_isotopes_and_equal_masses_are_not(name, model, folder):
    masses, symbols = SILENT[name]
    assert warnings(folder, masses, f"mlip/torch {model} {symbols}") == []
