"""Comparisons, verdicts and exit codes of ``mlip-lammps verify``; ``test_mutations.py`` plants faults."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from rich.console import Console

from mlip_lammps.cli._verify import show
from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.core.limits import BETWEEN_ENGINES, DYNAMICS, ROTATION
from mlip_lammps.engines.lammps.cases import Case, CaseResult, run_cases
from mlip_lammps.engines.mpi_process import MpiProcess, MpiRunError
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.files import read_structure
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.structure.probes import BASE, MOLECULE, SHEARED, SMALL, USER, large_probes
from mlip_lammps.verify.checks import QUANTITIES, Check, Comparison, Verification, Worst, differences
from mlip_lammps.verify.lammps_checks import LammpsPlan, count_wrong_edges
from mlip_lammps.verify.physics_checks import choose_time_step
from mlip_lammps.verify.symmetries import ROTATION as ROTATED
from mlip_lammps.verify.symmetries import make_symmetries
from mlip_lammps.verify.verify import find_subject

LIMITS = BETWEEN_ENGINES["float64"]
CUTOFF = 4.0
TIME_LIMIT = 300


@pytest.fixture(scope="module")
def structures() -> dict[str, Atoms]:
    return large_probes(("H", "O"), CUTOFF)


def made_up_results(n_atoms: int = 4) -> Evaluation:
    rng = np.random.default_rng(0)
    node_energies = rng.normal(size=n_atoms)
    return Evaluation(float(node_energies.sum()), node_energies, rng.normal(size=(n_atoms, 3)), rng.normal(size=6))


def failed(found: Evaluation, expected: Evaluation) -> set[str]:
    compared = differences(found, expected, LIMITS)
    return {quantity for quantity, (number, limit) in compared.items() if not number <= limit}


def test_equal_results_pass_and_planted_differences_are_named():
    results = made_up_results()
    assert failed(results, results) == set()
    assert failed(replace(results, energy=results.energy + 1e-6), results) == {"energy"}
    assert failed(replace(results, node_energies=results.node_energies[::-1]), results) == {"atomic energies"}
    assert failed(replace(results, forces=1.0001 * results.forces), results) == {"forces"}
    assert failed(replace(results, virial=results.virial[[0, 1, 2, 3, 5, 4]]), results) == {"virial"}
    assert failed(replace(results, forces=results.forces * math.nan), results) == {"forces"}
    assert "virial" not in differences(replace(results, virial=None), results, LIMITS)


def test_limits_grow_with_the_forces():
    results = made_up_results()
    large = replace(results, forces=1e3 * results.forces)
    assert differences(large, large, LIMITS)["forces"][1] > 1e2 * LIMITS.force
    assert differences(large, large, LIMITS)["energy"][1] > 1e2 * LIMITS.energy
    quiet = replace(results, forces=0.1 * results.forces)
    assert differences(quiet, quiet, LIMITS)["energy"][1] == LIMITS.energy


def test_a_check_reports_its_worst_value_and_fails_without_values():
    line = Worst()
    assert line.check("g", "n").verdict == "fail"
    line.add(1e-3, 1e-2, "near its limit")
    line.add(2e-3, 1.0, "larger and far from it")
    check = line.check("g", "n")
    assert (check.verdict, check.where, check.number) == ("pass", "near its limit", 1e-3)
    line.add(1.0, 0.0, "where none is allowed")
    assert line.check("g", "n").verdict == "fail"
    broken = Worst()
    broken.add(0.0, 0.0, "fine")
    broken.fail("elsewhere", "LAMMPS stopped")
    check = broken.check("g", "n")
    assert (check.verdict, check.note) == ("fail", "elsewhere: LAMMPS stopped")


def test_a_comparison_has_one_check_per_quantity_with_the_worst_structure():
    results, comparison = made_up_results(), Comparison("a = b")
    comparison.add("good", results, results, LIMITS)
    comparison.add("bad", replace(results, forces=results.forces + 1e-3), results, LIMITS)
    checks = {check.name: check for check in comparison.checks()}
    assert list(checks) == ["energy", "atomic energies", "forces", "virial"]
    assert (checks["forces"].verdict, checks["forces"].where) == ("fail", "bad")
    assert checks["virial"].verdict == "pass"


def test_rotation_limits_apply_only_where_lammps_rotates_the_atoms(structures):
    turned = structures[BASE].copy()
    turned.rotate(20.0, (1.0, 2.0, 3.0), rotate_cell=True)
    symmetries = make_symmetries(structures, 100)
    wide = ROTATION["float32"]
    plan = LammpsPlan(Path("m.pt2"), ("H", "O"), CUTOFF, structures | {USER: turned}, symmetries, 60.0, LIMITS, wide)
    for name in (*structures, *symmetries):
        assert plan.limits_of(name) == (LIMITS.widened_to(wide) if name == ROTATED else LIMITS), name
    assert plan.limits_of(USER) == LIMITS.widened_to(wide)


def case_with(edge_atoms: np.ndarray, edge_vectors: np.ndarray) -> CaseResult:
    nothing = np.zeros(0)
    return CaseResult(
        evaluation=Evaluation(0.0, nothing, nothing),
        positions=nothing,
        node_energy_sum=0.0,
        lammps_virial=nothing,
        atom_virial_sum=nothing,
        edge_atoms=edge_atoms,
        edge_vectors=edge_vectors,
        n_owned=(),
    )


def test_wrong_edges_are_counted(structures):
    atoms = structures[SMALL]
    graph = build_graph(atoms, CUTOFF)
    pairs = np.stack([graph.edge_centre, graph.edge_neighbour], axis=1)

    def count(pairs: np.ndarray, vectors: np.ndarray) -> float:
        return count_wrong_edges(case_with(pairs, vectors), atoms, CUTOFF)

    vectors = graph.edge_vectors
    assert count(pairs[::-1], vectors[::-1]) == 0
    assert count(pairs[:-1], vectors[:-1]) == 1
    doubled = np.append(np.arange(len(pairs)), 0)
    assert count(pairs[doubled], vectors[doubled]) == 1
    assert count(np.append(pairs[:-1], pairs[:1], axis=0), np.append(vectors[:-1], vectors[:1], axis=0)) == 2
    assert count(pairs[:, ::-1], vectors) > 0
    assert count(pairs, vectors * (1 + 1e-8)) > 0
    assert count(pairs[:0], vectors[:0]) == len(pairs)
    of_smaller_cutoff = np.linalg.norm(vectors, axis=1) < 0.99 * CUTOFF
    assert count(pairs[of_smaller_cutoff], vectors[of_smaller_cutoff]) == (~of_smaller_cutoff).sum() > 0


def test_an_edge_with_the_length_of_the_cutoff_may_be_missing():
    atoms = Atoms("H2", positions=[[0, 0, 0], [0, 0, CUTOFF * (1 - 1e-12)]])
    nothing = case_with(np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3)))
    assert build_graph(atoms, CUTOFF).n_edges == 2
    assert count_wrong_edges(nothing, atoms, CUTOFF) == 0


@pytest.mark.parametrize("elements", [("Si",), ("H", "O"), ("H", "C", "N", "O", "Ni")])
def test_structures_have_all_elements_and_enough_neighbours(elements):
    made = large_probes(elements, CUTOFF)
    assert set(made[BASE].get_chemical_symbols()) == set(elements)
    assert {f"isolated {symbol}" for symbol in elements} <= set(made)
    graph = build_graph(made[BASE], CUTOFF)
    assert 20 < graph.n_edges / graph.n_atoms < 100
    assert made[SMALL].cell.lengths().min() < CUTOFF
    assert np.abs(made[SHEARED].cell.angles() - 90.0).max() > 30.0


def test_symmetric_copies_have_the_expected_results(structures):
    """Tested with an energy that depends only on distances."""

    def evaluate(atoms: Atoms) -> Evaluation:
        graph = build_graph(atoms, CUTOFF)
        lengths = np.linalg.norm(graph.edge_vectors, axis=1)
        weights = graph.atomic_numbers[graph.edge_centre] * np.sqrt(graph.atomic_numbers[graph.edge_neighbour])
        energies = np.bincount(graph.edge_centre, weights * (CUTOFF - lengths) ** 3, minlength=len(atoms))
        slopes = (-3.0 * weights * (CUTOFF - lengths) ** 2 / lengths)[:, None] * graph.edge_vectors
        forces = np.zeros((len(atoms), 3))
        np.add.at(forces, graph.edge_centre, slopes)
        np.add.at(forces, graph.edge_neighbour, -slopes)
        tensor = graph.edge_vectors.T @ slopes
        return Evaluation(energies.sum(), energies, forces, tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])

    symmetries = make_symmetries(structures, n_atoms=500)
    assert set(symmetries) == {"translation", "unwrapped coordinates", "permutation", "rotation", "supercell"}
    for name, symmetry in symmetries.items():
        original, found = evaluate(structures[symmetry.of]), evaluate(symmetry.atoms)
        assert failed(found, symmetry.expect(original)) == set(), name
        if name in ("permutation", "rotation"):
            assert failed(found, original), name
    assert len(symmetries["supercell"].atoms) > 500
    assert np.abs(symmetries["unwrapped coordinates"].atoms.get_scaled_positions(wrap=False)).max() > 2.0
    assert np.linalg.norm(evaluate(structures[MOLECULE]).forces) > 1.0


def test_the_time_step_follows_stiffness_and_forces():
    """For one atom on a spring, the run spans 10 radians of the vibration, or a displacement of 0.3 angstrom."""
    atoms = Atoms("H", positions=[[0, 0, 0]], cell=10 * np.eye(3), pbc=True)

    def spring(stiffness: float, force: float):
        def evaluate(atoms: Atoms) -> Evaluation:
            pull = np.array([[force, 0.0, 0.0]])
            return Evaluation(0.0, np.zeros(1), pull - stiffness * atoms.positions, None)

        return evaluate

    n_steps = DYNAMICS["float64"].n_steps
    period = 2 * math.pi / math.sqrt(50.0 * 9648.533 / 20.0)
    assert choose_time_step(atoms, spring(50.0, 0.0), n_steps) * n_steps == pytest.approx(10 / (2 * math.pi) * period)
    pulled = choose_time_step(atoms, spring(50.0, 500.0), n_steps) * n_steps
    assert 0.5 * 500.0 * 9648.533 / 20.0 * pulled**2 == pytest.approx(0.3)


def test_a_silent_rank_is_terminated():
    program = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
    with (
        pytest.raises(MpiRunError, match=r"(?s)wrote nothing for 2 s and was ended.*up"),
        MpiProcess(program, 2, name="Sleeper", silence_seconds=2.0) as process,
    ):
        list(process.lines())


def test_a_refused_case_is_recorded_and_a_crash_ends_the_remaining_cases(compile_once, structures):
    atoms = structures[SMALL]
    cases = [
        Case("first", atoms),
        Case("refused", atoms, options="thread 2"),
        Case("second", atoms),
        Case("crash", atoms, before_run='shell "kill -9 $PPID"'),
        Case("third", atoms),
    ]
    found = run_cases(cases, compile_once("two_layers"), 1, silence_seconds=60.0)
    assert set(found.results) == {"first", "second"}
    np.testing.assert_array_equal(found.results["first"].evaluation.forces, found.results["second"].evaluation.forces)
    assert "unknown keyword thread" in found.faults["refused"]
    assert "ended with exit code" in found.faults["crash"]
    assert found.faults["third"] == "not reached: LAMMPS ended in crash"


@pytest.mark.parametrize(("verdict", "is_shown"), [("fail", True), ("pass", False)])
def test_a_failed_check_is_printed_with_the_remark_on_the_model(verdict, is_shown, capsys):
    check = Check("symmetries, in LAMMPS", "rotation", 1e-5, 1e-6, None, "eV/angstrom", "", verdict)
    facts = {"model": "m", "dtype": "float64", "elements": ["H"], "source": None, "is_smooth_at_cutoff": True}
    show(Verification(facts | {"remark": "its couplings are rounded"}, (check,), 1.0), Console(width=200))
    assert ("remark on the trained model: its couplings are rounded" in capsys.readouterr().out) == is_shown


def run_verify(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlip_lammps.cli.main", "verify", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT, check=False)


@pytest.fixture(scope="module")
def alone(compile_once, tmp_path_factory) -> Path:
    """Return a compiled model in a folder without its source."""
    path = tmp_path_factory.mktemp("alone") / "alone.pt2"
    path.write_bytes(compile_once("two_layers").read_bytes())
    return path


def test_a_good_model_passes_with_the_users_structure(alone, portable_models, tmp_path):
    slab = large_probes(("H", "O"), 3.5)[BASE]
    ase.io.write(tmp_path / "mine.cif", slab)
    words = ["--source", portable_models["two_layers"], "--structure", tmp_path / "mine.cif", "--ranks", "1,2"]
    done = run_verify(alone, *words, "--json", tmp_path / "table.json")
    assert done.returncode == 0, done.stdout + done.stderr
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["verdict"] == "pass"
    assert table["n_skipped"] == 0
    assert table["n_atoms"]["your structure"] == len(slab)
    assert {check["verdict"] for check in table["checks"]} == {"pass"}
    groups = list(dict.fromkeys(check["group"] for check in table["checks"]))
    assert groups == [
        "ASE = reference",
        "LAMMPS on 1 rank = ASE",
        "LAMMPS on 2 ranks = ASE",
        "settings of LAMMPS = ASE",
        "symmetries, in LAMMPS",
        "derivatives, in LAMMPS",
        "lmp -in INPUT = ASE",
    ]
    names = [check["name"] for check in table["checks"] if check["group"] == "LAMMPS on 2 ranks = ASE"]
    assert names.index("edges that differ") < names.index("forces")
    for group in groups:
        assert group in done.stdout
    assert f"{len(table['checks'])} checks passed, 0 failed" in done.stdout


def test_a_compiled_model_without_its_source_does_not_pass(alone, tmp_path):
    done = run_verify(alone, "--ranks", "1", "--json", tmp_path / "table.json")
    assert done.returncode == 2
    assert "was not compared with the reference; give the trained model" in done.stderr
    table = json.loads((tmp_path / "table.json").read_text())
    assert table["verdict"] == "incomplete"
    skipped = [check for check in table["checks"] if check["verdict"] == "skipped"]
    assert {check["name"] for check in skipped} == set(QUANTITIES)
    assert all("give it with --source" in check["note"] for check in skipped)
    assert f"{len(QUANTITIES)} skipped" in done.stdout
    waived = run_verify(alone, "--ranks", "1", "--no-reference", "--json", tmp_path / "waived.json")
    assert waived.returncode == 0
    assert json.loads((tmp_path / "waived.json").read_text())["verdict"] == "pass"
    assert f"{len(QUANTITIES)} skipped" in waived.stdout


def test_the_source_is_found_beside_the_compiled_file_by_its_digest(
    alone, portable_models, trained_models, tmp_path
):
    assert find_subject(alone).trained is None
    (tmp_path / "model.pt2").write_bytes(alone.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(portable_models["one_layer"].read_bytes())
    assert find_subject(tmp_path / "model.pt2").trained is None
    (tmp_path / "model.safetensors").write_bytes(portable_models["two_layers"].read_bytes())
    subject = find_subject(tmp_path / "model.pt2")
    assert subject.source == tmp_path / "model.safetensors"
    assert subject.trained.source_sha256 == trained_models["two_layers"].source_sha256
    with pytest.raises(UserInputError, match="was exported from random-1 with"):
        find_subject(alone, portable_models["one_layer"])
    with pytest.raises(UserInputError, match="has no separate source; omit --source"):
        find_subject(portable_models["two_layers"], portable_models["two_layers"])


def test_an_invalid_structure_is_refused(tmp_path):
    ase.io.write(tmp_path / "salt.xyz", Atoms("NaCl", positions=[[0, 0, 0], [2, 0, 0]]))
    (tmp_path / "text.xyz").write_text("no structure\n")
    with pytest.raises(UserInputError, match="contains Cl, Na, but the model knows H, O"):
        read_structure(tmp_path / "salt.xyz", ("H", "O"))
    for name in ("text.xyz", "none.xyz"):
        with pytest.raises(UserInputError, match="ASE cannot read"):
            read_structure(tmp_path / name, ("H", "O"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ranks", "one"], "is not a list of integers"),
        (["--ranks", "0"], "must list integers of at least 1"),
        (["--time-limit", "0"], "must be larger than 0"),
        (["--json", "no/such/folder/t.json"], "does not exist; create it"),
        (["--structure", "missing.cif"], "ASE cannot read missing.cif"),
    ],
)
def test_mistakes_in_the_input_have_exit_code_2(words, message, alone, capsys):
    assert main(["verify", str(alone), *words]) == 2
    assert message in capsys.readouterr().err
