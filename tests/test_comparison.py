"""Models side by side: stock pair styles as calculators, the numbers of a comparison, and its command."""

import csv
import json
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.test import gradient_test
from ase.io import write
from matplotlib.figure import Figure

from mlip_lammps.analysis.comparison_plot import plot_comparison, plot_summary
from mlip_lammps.cli._compared import labels_of
from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import MlipError, UserInputError
from mlip_lammps.engines.ase.other_calculators import other_calculator
from mlip_lammps.engines.ase.stock_styles import StockStyle
from mlip_lammps.workflows import compare
from mlip_lammps.workflows.comparisons.models import ModelResults
from mlip_lammps.workflows.comparisons.summary import summarize
from mlip_lammps.workflows.comparisons.table import COMPONENTS, numbers_of, rows_of
from mlip_lammps.workflows.crystals.frequencies import PhononFrequencies

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
    assert first["RMS force difference, eV/Å"] is None
    assert second["RMS force difference, eV/Å"] >= 0
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
    assert not (tmp_path / "out/compare/summary.png").exists()  # of one structure


def test_the_command_summarizes_several_structures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write("hot.extxyz", [rattled_silicon(), bulk("Si")])
    words = ["lammps:sw:Si.sw", "lammps:tersoff:Si.tersoff"]
    assert main(["compare", *words, "--structure", "hot.extxyz", "--quantities", "forces"]) == 0
    printed = capsys.readouterr().out
    assert "hot-0 (Si24), differences from sw:Si.sw" in printed
    assert "all 2 structures, differences from sw:Si.sw" in printed
    forces = [other_calculator(word, ["Si"]).get_forces(rattled_silicon()) for word in words]
    largest = np.linalg.norm(forces[1] - forces[0], axis=1).max()
    summary = " ".join(printed.split("all 2 structures")[1].split())
    assert f"largest force difference, eV/Å {largest:.5g}" in summary
    with (tmp_path / "out/compare/compare.csv").open(newline="", encoding="utf-8") as file:
        heading, *rows = csv.reader(file)
    assert heading == ["structure", "quantity", *words]
    found = {(structure, quantity): values for structure, quantity, *values in rows}
    for name in ("hot-0", "all"):
        none, second = found[name, "largest force difference, eV/Å"]
        assert (none, float(second)) == ("", pytest.approx(largest, rel=1e-6))
    assert (tmp_path / "out/compare/summary.png").stat().st_size > 10_000


def results(energy: float, shift: float, stress: tuple[float, ...] | None = (1, 1, 1, 0, 0, 0)) -> ModelResults:
    """Results of two atoms; ``shift`` is added to all forces along y of the second atom."""
    forces = np.array([[0.1, 0.2, -0.3], [-0.1, -0.2 + shift, 0.3]])
    return ModelResults(energy=energy, forces=forces, stress_gpa=None if stress is None else np.array(stress, float))


def test_a_table_shows_how_energies_forces_and_stresses_differ():
    models = {"a": results(-8.0, 0.0), "b": results(-7.0, 0.6, (1, 2, 3, 4, 5, -6)), "c": results(-7.0, 0.0, None)}
    rows = rows_of(models, 2)
    assert rows["energy, eV/atom"] == [-4.0, -3.5, -3.5]
    assert rows["RMS force difference, eV/Å"] == [None, pytest.approx(0.6 / np.sqrt(6)), 0.0]
    assert rows["largest force difference, eV/Å"] == [None, pytest.approx(0.6), 0.0]
    assert rows["pressure, GPa"] == [-1.0, -2.0, None]
    assert [rows[f"stress {name}, GPa"][1] for name in COMPONENTS] == [1, 2, 3, 4, 5, -6]
    assert rows["largest stress difference, GPa"] == [None, 6.0, None]


def test_a_table_of_hydrostatic_stresses_shows_pressures_only():
    rows = rows_of({"a": results(-8.0, 0.0), "b": results(-8.0, 0.0, (2, 2, 2, 0, 0, 0))}, 2)
    assert not any(quantity.startswith("stress") for quantity in rows)
    assert rows["largest stress difference, GPa"] == [None, 1.0]
    sheared = rows_of({"a": results(-8.0, 0.0), "b": results(-8.0, 0.0, (1, 1, 1, 0, 0.1, 0))}, 2)
    assert sheared["stress xz, GPa"] == [0.0, 0.1]


def test_differences_refer_to_the_first_model_with_results():
    models = {"a": ModelResults(missing={"forces": "no"}), "b": results(-8.0, 0.0), "c": results(-7.0, 0.6)}
    assert rows_of(models, 2)["largest force difference, eV/Å"] == [None, None, pytest.approx(0.6)]
    alone = rows_of({"a": models["a"], "b": models["b"]}, 2)
    assert not any("difference" in quantity for quantity in alone)  # no empty row


def test_frequencies_are_compared_mode_by_mode():
    """The second model has one frequency where the first has two, and one that is twofold in the first."""

    def phonons(*freq_thz: float) -> ModelResults:
        gamma = np.array([[0.0, 0.0, 0.0, *freq_thz]])
        return ModelResults(phonons=PhononFrequencies(np.zeros((1, 3)), ("G",), gamma, 1, bulk("Si"), "P1 (1)", 0.0))

    first, second = phonons(3.0, 4.0, 8.0, 8.01), phonons(3.5, 3.5, 6.0, 7.0)
    rows = rows_of({"a": first, "b": second}, 2)
    assert rows["phonon G 1, THz"] == [3.0, 3.5]
    assert rows["phonon G 2, THz"] == [4.0, 3.5]
    assert rows["phonon G 3, THz"] == pytest.approx([8.005, 6.5])
    assert "phonon G 4, THz" not in rows
    assert rows_of({"a": phonons(3.0), "b": second}, 2)["phonon G 1, THz"] == [3.0, 3.5]  # of other symmetry


COPPERS = {"near": Atoms("Cu2"), "far": Atoms("Cu2"), "gold": Atoms("Au2"), "more": Atoms("Cu4")}


def test_relative_energies_are_those_of_one_composition():
    of_four = ModelResults(energy=-15.0, forces=np.zeros((4, 3)))
    first = [results(-8.0, 0.0), results(-7.0, 0.0), results(-5.0, 0.0), of_four]
    second = [results(-4.0, 0.0), results(-2.0, 0.6), results(-5.0, 0.0), ModelResults()]
    found = {name: {"a": a, "b": b} for name, a, b in zip(COPPERS, first, second, strict=True)}
    summary = summarize(COPPERS, found)
    np.testing.assert_allclose(summary.relative_energies["a"], [0.0, 0.5, np.nan, 0.25])
    np.testing.assert_allclose(summary.relative_energies["b"], [0.0, 1.0, np.nan, np.nan])
    assert summary.stresses_gpa["b"].shape == (3, 6)
    rows = summary.rows()
    assert rows["RMS relative energy difference, eV/atom"] == [None, pytest.approx(0.5)]
    assert rows["RMS force difference, eV/Å"] == [None, pytest.approx(0.6 / np.sqrt(18))]
    assert rows["largest force difference, eV/Å"] == [None, pytest.approx(0.6)]
    assert rows["largest stress difference, GPa"] == [None, 0.0]


def test_a_summary_refers_to_the_first_model_with_results_and_needs_all_structures():
    found = {name: {"a": ModelResults(), "b": results(-8.0, 0.0), "c": results(-8.0, 0.6)} for name in ("near", "far")}
    structures = {name: COPPERS[name] for name in found}
    summary = summarize(structures, found)
    assert summary.reference() == "b"
    assert summary.rows()["largest force difference, eV/Å"] == [None, None, pytest.approx(0.6)]
    with pytest.raises(UserInputError, match="structures near, far, gold, more and results for near, far"):
        summarize(COPPERS, found)


@pytest.fixture
def figures(monkeypatch) -> list[Figure]:
    """Return the list of all figures that are saved."""
    saved, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda figure, *a, **k: (saved.append(figure), save(figure, *a, **k)))
    return saved


def labels_overlap(figure: Figure) -> bool:
    """Return whether two tick labels of one axis of a picture cover each other."""
    figure.draw_without_rendering()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            boxes = [text.get_window_extent() for text in axis.get_ticklabels() if text.get_text()]
            if any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[k + 1 :]):
                return True
    return False


def test_the_picture_has_forces_stresses_numbers_and_speed(figures, tmp_path):
    forces = {"a": np.array([0.1, -0.2, 0.3]), "b": np.array([0.2, -0.1, 0.1]), "none": None}
    stresses = {"a": np.arange(6.0), "b": -np.arange(6.0), "none": None}
    numbers = {f"C{k}, GPa": [10.0, 10.0 + k, None] for k in range(21)} | {"phonon X 1, THz": [1.0, -4.0, None]}
    numbers["of a only"] = [1.0, None, None]
    times = {"a": 10.0, "b": 20.0, "none": None}
    assert plot_comparison(tmp_path / "all.png", forces, stresses, numbers, times, "a")
    parity, stress, changes, speed = figures[0].axes
    np.testing.assert_array_equal(parity.lines[1].get_xydata(), np.transpose([forces["a"], forces["b"]]))
    assert parity.get_xlabel() == "force of a (eV/Å)"
    np.testing.assert_array_equal([line.get_ydata() for line in stress.lines[:2]], [stresses["a"], stresses["b"]])
    assert [text.get_text() for text in stress.get_xticklabels()] == list(COMPONENTS)
    assert len(changes.get_yticklabels()) == 22
    far = [text.get_text() for text in changes.texts]
    assert far == [*(f"+{10 * k} %" for k in range(11, 21)), "-500 %"]
    assert [bar.get_width() for bar in speed.patches] == [10.0, 20.0]
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["a", "b"]
    assert not labels_overlap(figures[0])


def test_panels_stand_in_a_column_beside_many_numbers(figures, tmp_path):
    values = {"a": np.arange(6.0), "b": np.ones(6)}
    numbers = {f"C{k}, GPa": [10.0, 9.0] for k in range(40)}
    assert plot_comparison(tmp_path / "tall.png", values, values, numbers, {"a": 1.0, "b": 2.0}, "a")
    boxes = {axes.get_xlabel(): axes.get_position() for axes in figures[0].axes}
    tall = boxes.pop("difference from a (%)")
    assert len(boxes) == 3
    assert all(box.x1 < tall.x0 and tall.y0 - 0.01 < box.y0 and box.y1 < tall.y1 + 0.01 for box in boxes.values())
    assert not labels_overlap(figures[0])


def test_the_picture_has_no_empty_panels(figures, tmp_path):
    at_rest, none = {"a": np.zeros(6), "b": np.zeros(6)}, {"a": None, "b": None}
    assert not plot_comparison(tmp_path / "none.png", at_rest, at_rest, {"C11, GPa": [1.0, None]}, none, "a")
    assert plot_comparison(tmp_path / "time.png", at_rest, at_rest, {}, {"a": 1.0, "b": None}, "a")
    assert [axes.get_xlabel() for axes in figures[0].axes] == ["time of an evaluation (µs/atom)"]


@pytest.mark.parametrize(("words", "label"), [("hot", ""), ("a-long-name", "structure, counted from 0")])
def test_the_picture_of_several_structures_has_energies_forces_and_stresses(words, label, figures, tmp_path):
    names = [f"{words}-{k}" for k in range(6)]
    energies = {"a": np.arange(6.0), "b": np.where(np.arange(6) == 2, np.nan, 2.0)}
    forces = {"a": np.arange(18.0), "b": np.full(18, np.nan)}
    stresses = {"a": np.ones((6, 6)), "b": np.arange(36.0).reshape(6, 6)}
    assert plot_summary(tmp_path / "some.png", names, energies, forces, stresses, "a")
    energy, stress = figures[0].axes  # b has no forces
    assert energy.get_ylabel() == "energy relative to the\nfirst structure (eV/atom)"
    np.testing.assert_array_equal(energy.lines[1].get_ydata(), energies["b"])
    assert energy.get_xlabel() == label
    assert stress.get_xlabel() == "stress of a (GPa)"
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["a", "b"]
    assert not labels_overlap(figures[0])


def test_models_have_short_names_that_differ():
    words = ["/x/a.pt2", "lammps:sw:p/Si.sw", "lammps:a/in.hybrid", "silicon-pbe", "d/mine.py:cold", "ase.x:EMT"]
    assert list(labels_of(words).values()) == [
        "a.pt2", "sw:Si.sw", "in.hybrid", "silicon-pbe", "mine.py:cold", "ase.x:EMT",
    ]  # fmt: skip
    assert labels_of(["x/a.pt2", "y/a.pt2"]) == {"x/a.pt2": "x/a.pt2", "y/a.pt2": "y/a.pt2"}


def test_a_model_that_knows_no_structure_is_not_compiled_and_says_so_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path / "cache"))
    rattled_silicon().write("hot.extxyz")
    bulk("Si").write("summary.extxyz")
    words = ["water-revpbe0d3", "lammps:sw:Si.sw", "ase.calculators.emt:EMT"]
    assert main(["compare", *words, "--structure", "hot.extxyz", "summary.extxyz"]) == 1
    printed = capsys.readouterr().out.splitlines()
    of_water = [line for line in printed if "H, O" in line]
    assert of_water == [
        "water-revpbe0d3 has no forces, lattice, elastic, phonons, speed of hot, summary: the structure contains Si, "
        "but the model knows H, O; give another structure or model"
    ]
    assert len([line for line in printed if "No EMT-potential" in line or "AttributeError" in line]) == 1
    assert not (tmp_path / "cache").exists()
    found = json.loads((tmp_path / "out/compare/results.json").read_text())["summary"]
    assert list(found) == words
    assert "contains Si" in found["water-revpbe0d3"]["missing"]["phonons"]
    assert (tmp_path / "out/compare/summary-of-all.png").exists()
    assert main(["compare", "water-revpbe0d3", "--structure", "hot.extxyz"]) == 2
    assert "no model knows a structure; water-revpbe0d3: the structure contains Si" in capsys.readouterr().err


def test_a_wrong_word_is_refused_before_a_model_is_compiled(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLIP_LAMMPS_CACHE", str(tmp_path / "cache"))
    bulk("Si").write(tmp_path / "si.extxyz")
    assert main(["compare", "silicon-pbe", "nothing.model", "--structure", str(tmp_path / "si.extxyz")]) == 2
    assert "nothing.model" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()


def test_a_command_without_model_or_structure_is_refused(capsys):
    assert main(["compare", "--structure", "a.xyz"]) == 2
    assert main(["compare", "silicon-pbe"]) == 2
    assert main(["compare", "a", "a", "--structure", "a.xyz"]) == 2
    assert "a MODEL is given twice" in capsys.readouterr().err


def test_a_mixture_of_calculators_is_compared(tmp_path):
    (tmp_path / "mixtures.py").write_text(
        "from ase.calculators.emt import EMT\n"
        "from ase.calculators.mixing import AverageCalculator\n"
        "def twice():\n"
        "    return AverageCalculator([EMT(), EMT()])\n"
    )
    mixture, crystal = other_calculator(f"{tmp_path / 'mixtures.py'}:twice", ["Cu"]), bulk("Cu", cubic=True)
    found = compare(crystal, {"twice": mixture, "once": EMT()}, ["forces", "lattice"])
    assert not found["twice"].missing
    assert found["twice"].energy == pytest.approx(found["once"].energy)
    assert found["twice"].crystal.lengths == pytest.approx(found["once"].crystal.lengths, abs=1e-6)
