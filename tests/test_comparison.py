"""Models side by side: stock pair styles as calculators, the numbers of a comparison, and its command."""

import json
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.test import gradient_test

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.engines.ase.other_calculators import other_calculator
from mlip_lammps.engines.ase.stock_styles import StockStyle
from mlip_lammps.workflows import compare
from mlip_lammps.workflows.comparisons.table import numbers_of

STRAIN = 1e-4


def rattled_silicon() -> Atoms:
    atoms = bulk("Si") * (3, 2, 2)
    atoms.rattle(0.1, seed=3)
    return atoms


def test_a_pair_style_gives_the_derivatives_of_its_energy_in_a_tilted_cell():
    atoms = rattled_silicon()
    atoms.calc = StockStyle("sw", ["Si.sw"], ["Si"])
    forces, numeric = gradient_test(atoms, indices=[0, 5])
    assert np.abs(forces - numeric).max() < 1e-5
    energies = []
    for sign in (1, -1):
        strained = atoms.copy()
        strained.set_cell(atoms.cell[:] @ (np.eye(3) + sign * STRAIN * np.eye(3)[[0]].T @ np.eye(3)[[0]]), True)
        strained.calc = atoms.calc
        energies.append(strained.get_potential_energy())
    slope = (energies[0] - energies[1]) / (2 * STRAIN * atoms.get_volume())
    assert atoms.get_stress()[0] == pytest.approx(slope, abs=1e-6)


def test_a_file_of_commands_gives_the_sum_of_its_styles(tmp_path):
    file = tmp_path / "with zbl.in"
    file.write_text(
        "pair_style hybrid/overlay sw zbl 1.0 2.0\n"
        "pair_coeff * * sw ${potential} ${elements}\n"
        "pair_coeff 1 1 zbl 14 14\n"
    )
    (tmp_path / "define.in").write_text(f"variable potential index Si.sw\ninclude '{file}'\n")
    atoms = rattled_silicon()
    atoms.positions[0] = atoms.positions[1] + [1.2, 0.0, 0.0]
    energies = {}
    for name, word in {"sum": f"lammps:{tmp_path / 'define.in'}", "sw": "lammps:sw:Si.sw"}.items():
        atoms.calc = other_calculator(word, ["Si"])
        energies[name] = atoms.get_potential_energy()
    assert energies["sum"] > energies["sw"] + 1.0


def test_a_pair_style_without_the_element_is_refused_and_the_next_structure_runs():
    calculator = StockStyle("sw", ["Si.sw"], ["Si"])
    wrong = StockStyle("sw", ["Si.sw"], ["Cu"])
    copper, silicon = bulk("Cu"), rattled_silicon()
    copper.calc, silicon.calc = wrong, calculator
    for _ in range(3):
        with pytest.raises(MlipError, match=r"LAMMPS cannot use sw Si.sw: ERROR"):
            copper.get_potential_energy()
    assert silicon.get_potential_energy() == pickle.loads(pickle.dumps(calculator)).get_potential_energy(silicon)


def test_a_calculator_recovers_from_an_error_of_lammps():
    calculator, broken = StockStyle("sw", ["Si.sw"], ["Si"]), rattled_silicon()
    broken.positions[0] = np.nan
    expected = calculator.get_potential_energy(rattled_silicon())
    with pytest.raises(MlipError, match="ERROR"):
        calculator.get_potential_energy(broken)
    assert calculator.get_potential_energy(rattled_silicon()) == pytest.approx(expected)


@pytest.mark.parametrize(("style", "runner"), [("quip", "quippy"), ("aenet", "aenet or its ASE calculator")])
def test_a_style_that_the_wheel_lacks_is_refused_with_what_runs_it(style, runner):
    with pytest.raises(UserInputError, match=f"has no pair style {style}; run .* with {runner}"):
        other_calculator(f"lammps:{style}:some.file", ["Si"])


def test_style_eam_takes_a_file_for_each_element():
    alloy = bulk("CuNi", "rocksalt", a=4.5)
    alloy.calc = other_calculator("lammps:eam:Cu_u3.eam:Ni_u3.eam", ["Cu", "Ni"])
    swapped = bulk("NiCu", "rocksalt", a=4.5)
    swapped.calc = alloy.calc
    assert alloy.get_potential_energy() == pytest.approx(swapped.get_potential_energy())
    copper = bulk("Cu", a=3.615)
    copper.calc = other_calculator("lammps:eam:Cu_u3.eam", ["Cu"])
    assert copper.get_potential_energy() == pytest.approx(-3.54, abs=0.01)  # S. M. Foiles et al., PRB 33, 7983 (1986)
    with pytest.raises(UserInputError, match="one file for each element, but 1 given for Cu, Ni"):
        other_calculator("lammps:eam:Cu_u3.eam", ["Cu", "Ni"])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lammps:sw:nothing.sw", "there is no potential file nothing.sw"),
        ("lammps:", "names no potential file"),
        ("lammps:sw:", "names no potential file"),
        ("nothing.here:Name", "cannot import nothing.here"),
        ("nothing.py:Name", "cannot import nothing.py"),
        ("ase.calculators.emt:Nothing", "has no Nothing"),
        ("ase.build:molecule", "cannot be called without arguments"),
        ("builtins:dict", "returns dict, expected an ASE calculator"),
    ],
)
def test_a_word_that_names_no_calculator_is_refused(word, message):
    with pytest.raises(UserInputError, match=message):
        other_calculator(word, ["Si"])


def test_words_name_calculators_of_modules_and_files(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from ase.calculators.emt import EMT\ndef cold():\n    return EMT()\n")
    assert isinstance(other_calculator("ase.calculators.emt:EMT", []), EMT)
    assert isinstance(other_calculator(f"{file}:cold", []), EMT)
    assert other_calculator("silicon-pbe", []) is None


@pytest.fixture(scope="module")
def silicon():
    """Stillinger-Weber silicon, its primitive cell in axes that are not those of the cube, beside Tersoff."""
    atoms = bulk("Si", a=5.5)
    atoms.set_cell(Atoms(cell=atoms.cell.cellpar()).cell, scale_atoms=True)
    styles = {name: StockStyle(name, [f"Si.{name}"], ["Si"]) for name in ("sw", "tersoff")}
    return compare(atoms, styles, ["forces", "lattice", "elastic", "phonons"])


def test_numbers_of_stillinger_weber_silicon_are_the_published_ones(silicon):
    """M. D. Kluge, J. R. Ray and A. Rahman, J. Chem. Phys. 85, 4028 (1986); E. R. Cowley, Phys. Rev. Lett. 60, 2379."""
    found = numbers_of(silicon["sw"], silicon["sw"], 2)
    assert found["a, Å"] == pytest.approx(5.431, abs=1e-3)
    assert found["energy at rest, eV/atom"] == pytest.approx(-4.3366, abs=1e-3)
    assert [found[f"C{ij}, GPa"] for ij in (11, 12, 44)] == pytest.approx([151.4, 76.4, 56.4], rel=0.01)
    assert found["bulk modulus, GPa"] == pytest.approx((151.4 + 2 * 76.4) / 3, rel=0.01)
    assert found["phonon G 1, THz"] == pytest.approx(17.83, abs=0.2)


def test_models_are_compared_with_the_first(silicon):
    first, second = (numbers_of(silicon[name], silicon["sw"], 2) for name in ("sw", "tersoff"))
    assert first["force difference, eV/Å"] is None
    assert second["force difference, eV/Å"] >= 0
    assert list(first) == list(second)
    assert silicon["sw"].stress_gpa[:3].mean() > 1.0  # the cell is given too large


def test_a_model_that_fails_does_not_stop_the_others():
    copper = bulk("Cu", a=3.6)
    found = compare(copper, {"emt": EMT(), "sw": StockStyle("sw", ["Si.sw"], ["Cu"])}, ["forces", "elastic"])
    assert set(found["sw"].missing) == {"forces", "lattice", "elastic"}
    assert "LAMMPS cannot use" in found["sw"].missing["forces"]
    assert found["emt"].missing == {}


def test_quantities_of_a_molecule_are_forces_and_speed():
    found = compare(molecule("H2O", vacuum=4.0), {"emt": EMT()})["emt"]
    assert found.crystal is None
    assert found.missing == {}
    assert found.microseconds_per_atom > 0


@pytest.mark.parametrize(("calculators", "quantities"), [({}, None), ({"emt": EMT()}, ["colour"])])
def test_wrong_arguments_are_refused(calculators, quantities):
    with pytest.raises(UserInputError):
        compare(bulk("Cu"), calculators, quantities)


def test_the_command_writes_table_picture_and_numbers(compile_once, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rattled_silicon().write("hot.extxyz")
    words = [str(compile_once("one_layer")), "lammps:sw:Si.sw", "ase.calculators.emt:EMT"]
    assert main(["compare", *words, "--structure", "hot.extxyz", "--quantities", "forces", "speed"]) == 1
    printed = capsys.readouterr().out
    assert "force difference, eV/Å" in printed
    assert "time, µs/atom" in printed
    results = json.loads((tmp_path / "out/compare/results.json").read_text())["hot"]
    assert list(results) == words
    direct = StockStyle("sw", ["Si.sw"], ["Si"]).get_potential_energy(rattled_silicon())
    assert results["lammps:sw:Si.sw"]["energy"] == pytest.approx(direct)
    assert "forces" in results["ase.calculators.emt:EMT"]["missing"]
    assert (tmp_path / "out/compare/hot.png").stat().st_size > 10_000


def test_a_command_without_model_or_structure_is_refused(capsys):
    assert main(["compare", "--structure", "a.xyz"]) == 2
    assert main(["compare", "silicon-pbe"]) == 2
    assert main(["compare", "a", "a", "--structure", "a.xyz"]) == 2
    assert "a MODEL is given twice" in capsys.readouterr().err
