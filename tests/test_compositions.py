"""Formation energies, reactions and screening, with ASE's EMT and the shipped silicon model."""

import json
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows import Tasks, formation_energies, reaction_energy, screen


def ordered(symbols: str, a: float) -> Atoms:
    """Return a cubic cell of four atoms in face-centred cubic places."""
    atoms = bulk("Cu", a=a, cubic=True)
    atoms.symbols = symbols
    return atoms


@pytest.fixture(scope="module")
def phases() -> dict[str, Atoms]:
    return {
        "Cu": bulk("Cu"), "Cu-bcc": bulk("Cu", "bcc", a=2.87), "Au": bulk("Au"), "Cu3Au": ordered("AuCu3", 3.74),
        "CuAu": ordered("Au2Cu2", 3.87), "CuAu3": ordered("CuAu3", 3.97),
    }  # fmt: skip


ENERGIES = {"Cu": -1.0, "Cu-bcc": -0.8, "Au": -2.0, "Cu3Au": -5.4, "CuAu": -6.8, "CuAu3": -7.1}


def test_formation_energies_hull_and_decomposition_are_those_by_hand(phases):
    study = formation_energies(phases, ENERGIES)
    found = {phase.name: phase for phase in study.phases}
    assert study.elements == ("Au", "Cu")
    assert found["Cu3Au"].formation_energy == pytest.approx((-5.4 + 3 + 2) / 4)
    assert found["CuAu"].formation_energy == pytest.approx((-6.8 + 2 + 4) / 4)
    assert set(study.stable) == {"Cu", "Au", "Cu3Au", "CuAu"}
    assert found["Cu-bcc"].above_hull == pytest.approx(0.2)
    assert found["Cu-bcc"].decomposes_to == {"Cu": pytest.approx(1.0)}
    # halfway between CuAu and Au: -0.1 against -0.025
    assert found["CuAu3"].above_hull == pytest.approx(0.1 - 0.025)
    assert found["CuAu3"].decomposes_to == {"CuAu": pytest.approx(0.5), "Au": pytest.approx(0.5)}
    assert [phase.formation_energy for phase in study.phases] == sorted(p.formation_energy for p in study.phases)


def test_phases_of_one_element_are_compared_with_the_best(phases):
    study = formation_energies({name: phases[name] for name in ("Cu", "Cu-bcc")}, ENERGIES)
    assert [phase.above_hull for phase in study.phases] == pytest.approx([0.0, 0.2])


def test_a_missing_element_is_named(phases):
    with pytest.raises(UserInputError, match="no phase consists of Au only"):
        formation_energies({name: phases[name] for name in ("Cu", "CuAu")}, ENERGIES)


def test_a_reaction_is_balanced(phases):
    found = reaction_energy("Cu + Au -> Cu3Au", phases, ENERGIES)
    assert found.equation == "3 Cu + 1 Au -> 1 Cu3Au"
    assert found.energy == pytest.approx(-0.4)
    assert reaction_energy("2 Cu3Au -> CuAu + 4 Cu", phases, ENERGIES).equation == "1 Cu3Au -> 1 CuAu + 2 Cu"
    water = {"H2": molecule("H2"), "O2": molecule("O2"), "H2O": molecule("H2O")}
    found = reaction_energy("H2 + O2 -> H2O", water, {"H2": -6.0, "O2": -8.0, "H2O": -12.0})
    # an element has one atom in its formula unit
    assert found.energy / found.coefficients["H2O"] == pytest.approx(-12.0 + 6.0 + 4.0)


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        ("Cu + Au", "is not a reaction"),
        ("Cu + Ag -> Cu3Au", "Ag is not a phase"),
        ("Cu -> Au", "cannot be balanced in one way"),
        ("Cu + Au -> Cu3Au + CuAu", "cannot be balanced in one way"),
        ("Cu + Cu3Au -> Au", "cannot be balanced in one way"),
    ],
)
def test_bad_reactions_are_refused(equation, message, phases):
    with pytest.raises(UserInputError, match=message):
        reaction_energy(equation, phases, ENERGIES)


def test_copper_and_gold_mix_and_the_screen_ranks_their_orders(phases, tmp_path):
    line = ordered("Au2Cu2", 3.87)
    turned = line.copy()
    turned.rotate(90, "x", rotate_cell=True)
    candidates = {"a": line, "b": turned, "c": line * (1, 1, 2), "random": ordered("AuCu3", 3.74)}
    candidates["zigzag"] = line * (2, 1, 1)
    candidates["zigzag"].symbols = "Au2Cu4Au2"
    found = screen(candidates, EMT(), tasks=Tasks(tmp_path), cell="free")
    by_name = {one.name: one for one in found}
    kept = {one.name for one in found if one.duplicate_of is None}
    assert len(kept & {"a", "b", "c"}) == 1
    assert {"random", "zigzag"} <= kept
    assert by_name["random"].relative_energy == 0.0
    energies = [one.energy_per_atom for one in found if one.formula == "AuCu"]
    assert energies == sorted(energies)
    assert by_name["a"].spread_per_atom is None


def test_the_spread_of_a_committee_does_not_depend_on_its_zero_of_energy():
    class Shifted(EMT):
        def calculate(self, *arguments, **options):
            super().calculate(*arguments, **options)
            self.results["energy"] = 1.1 * self.results["energy"] - 7.0 * len(self.atoms)

    candidates = {"fcc": bulk("Cu"), "bcc": bulk("Cu", "bcc", a=2.87)}
    fcc, bcc = screen(candidates, EMT(), committee=[Shifted(), EMT()], cell="isotropic")
    assert (fcc.name, bcc.name) == ("fcc", "bcc")
    assert fcc.spread_per_atom == pytest.approx(0.0, abs=1e-12)
    gap = bcc.relative_energy
    assert bcc.spread_per_atom == pytest.approx(np.std([gap, 1.1 * gap, gap], ddof=1))


def test_relaxed_cells_of_one_crystal_are_duplicates():
    cells = {"primitive": bulk("Cu"), "cubic": bulk("Cu", cubic=True), "double": bulk("Cu") * (2, 1, 1)}
    for seed, atoms in enumerate(cells.values()):
        atoms.rattle(0.03, seed=seed)
    found = screen(cells, EMT(), cell="free")
    assert sum(candidate.duplicate_of is None for candidate in found) == 1


def test_molecules_are_compared_by_distances_and_failures_are_last():
    turned = molecule("H2O")
    turned.rotate(50, (1, 2, 3))
    far = molecule("H2O")
    far.positions[1] += (0, 0.3, 0)
    found = screen({"one": molecule("H2O"), "two": turned, "far": far}, EMT(), max_steps=60)
    assert sum(one.duplicate_of is not None for one in found) >= 1
    failed = screen({"far": far}, EMT(), max_steps=1)
    assert failed[0].error
    assert failed[0].energy_per_atom is None
    with pytest.raises(UserInputError, match="there are no candidates"):
        screen({}, EMT())


@pytest.fixture
def silicon_phases(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [(0, 0, 0), (0, 0.5, 0.25), (0.5, 0.5, 0.5), (0.5, 0, 0.75)]
    ase.io.write("beta.extxyz", Atoms("Si4", cell=[4.76, 4.76, 2.61], scaled_positions=places, pbc=True))
    ase.io.write("diamond.extxyz", bulk("Si", a=5.45))
    ase.io.write("again.extxyz", bulk("Si", a=5.5, cubic=True))


def test_the_formation_command_lists_phases_above_the_hull(silicon_phases, capsys):
    command = ["formation", "silicon-pbe", "beta.extxyz", "diamond.extxyz", "--reaction", "diamond -> beta"]
    assert main([*command, "--ranks", "2"]) == 0
    assert "1 diamond -> 1 beta" in capsys.readouterr().out
    found = json.loads(Path("out/formation/results.json").read_text())
    assert found["phases"]["stable"] == ["diamond"]
    assert found["reactions"][0]["energy"] == pytest.approx(found["phases"]["phases"][1]["above_hull"])
    assert main([*command, "--no-relax", "--out", "fast"]) == 0


@pytest.mark.parametrize("text", ["diamond = beta", "diamond -> gamma"])
def test_the_formation_command_checks_reactions_before_it_relaxes(text, silicon_phases, capsys):
    assert main(["formation", "silicon-pbe", "beta.extxyz", "diamond.extxyz", "--reaction", text]) != 0
    printed = capsys.readouterr()
    assert re.search("is not a (reaction|phase)", printed.err + printed.out)
    assert not list(Path("out/formation/tasks").glob("*.json"))


def test_a_committee_of_copies_is_refused(silicon_phases, capsys):
    assert main(["screen", "silicon-pbe", "beta.extxyz", "--committee", "silicon-pbe"]) != 0
    assert "a model is given twice" in capsys.readouterr().err


def test_the_screen_command_ranks_and_removes_duplicates(silicon_phases, capsys):
    command = ["screen", "silicon-pbe", "beta.extxyz", "diamond.extxyz", "again.extxyz"]
    assert main([*command, "--committee", str(compiled_model("silicon-pbe", dtype="mixed"))]) == 0
    assert "3 candidates: 2 different, 1 duplicates, 0 did not relax" in capsys.readouterr().out
    found = json.loads(Path("out/screen/results.json").read_text())["candidates"]
    assert {found[0]["name"], found[1]["name"]} == {"diamond", "again"}
    assert found[2]["relative_energy"] > 0.1
    assert found[2]["spread_per_atom"] == pytest.approx(0, abs=1e-5)
