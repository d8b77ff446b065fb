"""Committees: their mean drives the run, and LAMMPS gets their deviations, on one and on several ranks."""

import re
from dataclasses import dataclass

import numpy as np
import pytest
from lammps_deck import assert_results_agree, deck, pair_coeff, read_results
from lammps_run import Finished, error_line, run_lammps
from lammps_structures import Expected, expected_results, write_data
from numpy.typing import NDArray

from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_forces_agree
from mlip_lammps.testing.structures import rattled_triclinic

ELEMENTS = ("H", "O")
DEVIATIONS = """compute dev all pair mlip/torch
fix dev all pair 1 mlip/torch force_deviation 1
compute largest all reduce max f_dev"""
COLUMNS = "c_dev[1] c_dev[2] c_dev[3] c_largest"


@dataclass(frozen=True)
class Spread:
    """Mean of a committee, and its deviations in eV and eV/angstrom."""

    mean: Expected
    energy: float
    of_atoms: NDArray[np.float64]

    @classmethod
    def of(cls, models, atoms) -> "Spread":
        """Compute the mean and the deviations from the ASE calculator of each model."""
        each = [expected_results(model, atoms) for model in models]
        forces = np.array([one.forces for one in each])
        mean = Expected(
            energy=np.mean([one.energy for one in each]),
            forces=forces.mean(axis=0),
            node_energies=np.mean([one.node_energies for one in each], axis=0),
            virial=np.mean([one.virial for one in each], axis=0),
        )
        squares = ((forces - mean.forces) ** 2).sum(axis=2)
        return cls(mean, float(np.std([one.energy for one in each])), np.sqrt(squares.mean(axis=0)))


@pytest.fixture(scope="module")
def atoms():
    return rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)


@pytest.fixture(scope="module")
def members(compile_once):
    """Return models that differ in layers, cutoff and order of elements."""
    return [compile_once("two_layers"), compile_once("one_layer_of_two")]


@pytest.fixture
def folder(tmp_path, atoms):
    write_data(tmp_path / "box.data", atoms, ELEMENTS)
    return tmp_path


def committee(models, symbols: str = "H O") -> str:
    return pair_coeff(f"{' '.join(map(str, models))} : {symbols}")


def assert_spread_agrees(done: Finished, expected: Spread, tolerance: float) -> None:
    """Raise unless compute pair, fix pair and compute reduce give the expected values (tolerance in eV/angstrom)."""
    row, of_atoms = done.thermo[-1], done.dump("dump.out")[:, 6]
    np.testing.assert_allclose(of_atoms, expected.of_atoms, rtol=0, atol=tolerance)
    assert abs(row["c_dev[1]"] - expected.energy) < len(of_atoms) * tolerance
    assert abs(row["c_dev[2]"] - expected.of_atoms.max()) < tolerance
    assert abs(row["c_dev[3]"] - expected.of_atoms.mean()) < tolerance
    assert row["c_largest"] == pytest.approx(row["c_dev[2]"], rel=1e-12)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_the_mean_drives_the_run_and_the_deviation_is_reported(n_ranks, members, atoms, folder):
    options = dict(style="mlip/torch deviation spread.txt 1", columns=COLUMNS, atom_columns="f_dev")
    done = run_lammps(deck(coeff=committee(members), last=DEVIATIONS, **options), n_ranks, folder)
    expected = Spread.of(members, atoms)
    assert expected.of_atoms.max() > 2 * expected.of_atoms.min() > 5e-3, "deviations that say nothing"
    assert_results_agree(read_results(done), expected.mean)
    assert_spread_agrees(done, expected, tolerances.LAMMPS_FORCE)

    step, energy, largest, mean, atom = np.loadtxt(folder / "spread.txt")
    row = done.thermo[-1]
    np.testing.assert_allclose([energy, largest, mean], [row[f"c_dev[{k}]"] for k in (1, 2, 3)], rtol=1e-9)
    assert (step, atom) == (0, 1 + np.argmax(expected.of_atoms))


def test_members_may_differ_in_precision_and_be_part_of_a_hybrid(compile_once, members, atoms, folder):
    models = [members[1], compile_once("two_layers", "mixed"), members[0]]
    coeff = pair_coeff(f"mlip/torch {' '.join(map(str, models))} : H O", "zero")
    options = dict(style="hybrid/overlay mlip/torch zero 5.0", columns=COLUMNS, atom_columns="f_dev")
    done = run_lammps(deck(coeff=coeff, last=DEVIATIONS, **options), 2, folder)
    expected = Spread.of(models, atoms)
    tolerance = tolerances.SINGLE_PRECISION_FORCE * np.abs(expected.mean.forces).max()
    assert_forces_agree(read_results(done).forces, expected.mean.forces, tolerance)
    assert_spread_agrees(done, expected, tolerance)


def test_a_committee_of_equal_models_equals_the_model(members, atoms, folder):
    options = dict(columns=COLUMNS, atom_columns="f_dev")
    done = run_lammps(deck(coeff=committee([members[0]] * 2), last=DEVIATIONS, **options), 2, folder)
    assert_results_agree(read_results(done), expected_results(members[0], atoms))
    assert_spread_agrees(done, Spread.of([members[0]] * 2, atoms), tolerances.LAMMPS_FORCE)


RUN = """velocity all create 300 7 loop geom
fix motion all nve
thermo 2
run 4
unfix dev
fix dev all pair 2 mlip/torch force_deviation 1
compute again all reduce max f_dev
variable largest equal c_dev[2]
fix stop all halt 1 v_largest > {limit} error soft
run 8
run 0"""


def test_deviations_are_computed_on_request_and_can_stop_a_run(members, folder):
    (folder / "spread.txt").write_text("a line of an earlier run\n")
    # Atoms beyond the models' cutoffs do not contribute: the limit is an initial value of the run.
    options = dict(style="mlip/torch deviation spread.txt 2", columns=COLUMNS)
    text = deck(coeff=committee(members), last=DEVIATIONS, runs=RUN.format(limit=1e9), **options)
    done = run_lammps(text, 2, folder)
    lines = (folder / "spread.txt").read_text().splitlines()
    assert lines[0] == "a line of an earlier run"
    steps, _, largest, _, _ = np.array([line.split() for line in lines[1:]], dtype=float).T
    assert steps.tolist() == [0, 2, 4, 6, 8, 10, 12]
    told = {row["Step"]: row["c_dev[2]"] for row in done.thermo}
    np.testing.assert_allclose(largest, [told[step] for step in steps], rtol=1e-9)
    assert len(set(largest)) > 3

    text = deck(coeff=committee(members), last=DEVIATIONS, runs=RUN.format(limit=0.999 * told[6]), **options)
    halted = run_lammps(text, 2, folder)
    assert "Fix halt condition for fix-id stop met" in halted.output
    assert max(row["Step"] for row in halted.thermo) < 12


def test_a_restart_continues_the_deviations_without_repeating_a_step(members, folder):
    file = folder / "continued.txt"
    options = dict(style="mlip/torch deviation continued.txt 2")
    runs = "fix move all nve\nrun 4\nwrite_restart four.restart\nrun 4"
    run_lammps(deck(coeff=committee(members), runs=runs, **options), 2, folder)
    whole = file.read_text()
    with file.open("a") as stream:
        stream.write("10 0.00")  # what a run that is killed can leave
    restart = f"read_restart four.restart\n{committee(members)}\nfix move all nve\nrun 4\n"
    run_lammps(restart, 2, folder)
    found, before = (
        np.array([line.split() for line in text.splitlines()[1:]], dtype=float) for text in (file.read_text(), whole)
    )
    assert found[:, 0].tolist() == before[:, 0].tolist() == [0, 2, 4, 6, 8]
    np.testing.assert_allclose(found, before, rtol=1e-6)
    run_lammps(deck(coeff=committee(members), **options), 2, folder)
    assert [line.split()[0] for line in file.read_text().splitlines()] == ["#", "0", "2", "4", "6", "8", "0"]


REFUSALS = {
    "a file without a colon": (dict(coeff="{0} {1} H O"), "separate several files from elements by a colon"),
    "no file": (dict(coeff=": H O"), "names no file before the colon"),
    "deviations of one model": (
        dict(style="mlip/torch deviation spread.txt 5", coeff="{0} H O"),
        "deviation needs two or more models, but pair_coeff names one",
    ),
    "a file that cannot be written": (
        dict(style="mlip/torch deviation nowhere/spread.txt 5", coeff="{0} {1} : H O"),
        "cannot open deviation file nowhere/spread.txt: No such file or directory",
    ),
    "an element that one member lacks": (
        dict(coeff="{0} {2} : H O"),
        "atom type 1 is H, but .*three_layers.* knows C, O, Ni",
    ),
    "no trigger": (
        dict(coeff="{0} {1} : H O", last="fix dev all pair 1 mlip/torch force_deviation 0"),
        "were not requested for this step; request them in fix pair with: force_deviation 1",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_an_inconsistent_committee_is_refused(name, members, compile_once, folder):
    options, message = REFUSALS[name]
    names = [*members, compile_once("three_layers")]
    text = deck(**{**options, "coeff": pair_coeff(options["coeff"].format(*names))})
    line = error_line(run_lammps(text, 2, folder, is_refused=True))
    assert re.search(message, line), line
