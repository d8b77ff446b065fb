"""Models with a total charge and spin: layers, compiled files, ASE, LAMMPS, restart files, and what is refused.

Their numbers against mace-torch are in ``tests/peer``.
"""

import json
import re
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from lammps_deck import assert_results_agree, deck, pair_coeff, read_results
from lammps_run import error_line, run_lammps
from lammps_structures import expected_results, write_data

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import compiled_model, export_model
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError, UserInputError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import MaceModel, MaceReference, write_portable
from mlip_lammps.families.mace.spec import EmbeddingSpec
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_forces_agree, assert_node_energies_agree
from mlip_lammps.testing.random_models import NON_LINEAR, random_model
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.workflows import relax
from mlip_lammps.workflows.reactions import paths

ELEMENTS = ("H", "O")
SHAPE = dict(elements=ELEMENTS, hidden_irreps="8x0e+8x1o", l_max=2, correlation=2, n_layers=2, cutoff=4.0)
CHARGE = EmbeddingSpec("total_charge", "categorical", 6, n_classes=9, offset=4)
SPIN = EmbeddingSpec("total_spin", "categorical", 4, n_classes=6)
KINDS = {
    "tables": dict(embeddings=(SPIN, CHARGE), has_embedding_readout=True),
    "nonlinear": dict(embeddings=(CHARGE,), interaction=NON_LINEAR),
    "numbers": dict(
        embeddings=(EmbeddingSpec("total_charge", "continuous", 5), EmbeddingSpec("total_spin", "continuous", 3)),
        n_layers=1,
        hidden_irreps="8x0e",
    ),
}
GIVEN = {
    "tables": ({}, {"charge": 2, "spin": 3}, {"charge": -4}, {"spin": 5.0}),
    "nonlinear": ({}, {"charge": 1}),
    "numbers": ({}, {"charge": 0.25, "spin": 2.5}),
}


def model_of(kind: str) -> MaceModel:
    trained = random_model(seed=4, **{**SHAPE, **KINDS[kind]})
    return replace(trained, weights=trained.weights | {"scale_shift.scale": np.array([0.1])})


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("charge")
    for kind in KINDS:
        write_portable(model_of(kind), folder / f"{kind}.safetensors")
    return {kind: folder / f"{kind}.safetensors" for kind in KINDS}


class CompiledFiles(dict):
    """Compiled files by kind, each compiled at its first use."""

    def __init__(self, sources: dict[str, Path]) -> None:
        self.sources = sources

    def __missing__(self, kind: str) -> Path:
        self[kind] = compiled_model(self.sources[kind], dtype="float64")
        return self[kind]


@pytest.fixture(scope="module")
def compiled_files(sources) -> dict[str, Path]:
    return CompiledFiles(sources)


@pytest.fixture
def model(compiled_files) -> Path:
    return compiled_files["tables"]


def structure(info: dict[str, float] | None = None) -> Atoms:
    atoms = rattled_triclinic(ELEMENTS, repeat=(3, 3, 4), seed=2)
    atoms.info = dict(info or {})
    return atoms


@pytest.mark.parametrize("kind", KINDS)
def test_the_compiled_model_equals_the_reference(kind, compiled_files):
    compiled, reference = CompiledModel(compiled_files[kind], n_threads=1), MaceReference(model_of(kind))
    energies = []
    for info in GIVEN[kind]:
        atoms = structure(info)
        expected, found = reference.evaluate(atoms), compiled.evaluate(build_graph(atoms, compiled.cutoff))
        tolerance = tolerances.LAMMPS_ENERGY_PER_ATOM
        assert_node_energies_agree(found.node_energies, expected.node_energies, tolerance, atoms.numbers)
        assert_forces_agree(found.forces, expected.forces, tolerances.LAMMPS_FORCE, atoms.numbers)
        energies.append(found.energy)
    assert np.diff(sorted(energies)).min() > 1e-3


@pytest.mark.parametrize("radial", ["exact"])
@pytest.mark.parametrize("dtype", ["float32", "mixed"])
def test_other_precisions_and_exact_radial_functions_pass_the_check(radial, dtype, sources, tmp_path):
    export_model(sources["tables"], tmp_path / "model.pt2", dtype=dtype, radial=radial)
    atoms = structure({"charge": -3, "spin": 2})
    expected = MaceReference(model_of("tables")).evaluate(atoms)
    compiled = CompiledModel(tmp_path / "model.pt2", n_threads=1)
    difference = compiled.evaluate(build_graph(atoms, compiled.cutoff)).forces - expected.forces
    assert np.abs(difference).max() < 1e-5 * np.abs(expected.forces).max()


def test_many_chunks_of_centres_have_the_same_charge(model):
    atoms = rattled_triclinic(ELEMENTS, repeat=(9, 8, 8), seed=5)
    atoms.info = {"charge": 3, "spin": 2}
    compiled = CompiledModel(model, n_threads=1)
    assert len(atoms) > compiled.metadata["chunk_atoms"]
    expected = MaceReference(model_of("tables")).evaluate(atoms)
    found = compiled.evaluate(build_graph(atoms, compiled.cutoff))
    assert_forces_agree(found.forces, expected.forces, tolerances.LAMMPS_FORCE, atoms.numbers)


def test_structures_of_different_charges_are_evaluated_together(model):
    compiled = CompiledModel(model, n_threads=1)
    graphs = [build_graph(structure(info), compiled.cutoff) for info in GIVEN["tables"]]
    for found, graph in zip(compiled.evaluate_many(graphs), graphs, strict=True):
        assert found.energy == compiled.evaluate(graph).energy


def test_the_calculator_notices_another_charge_of_the_same_atoms(model):
    atoms = structure()
    atoms.calc = MlipCalculator(model, n_threads=1)
    energies = []
    for charge in (None, 0, 1, 2, 1):
        atoms.info = {} if charge is None else {"charge": charge}
        energies.append(atoms.get_potential_energy())
        assert energies[-1] == MlipCalculator(model, n_threads=1).get_potential_energy(structure(atoms.info))
    assert energies[0] == energies[1]
    assert energies[2] == energies[4]
    assert len(set(energies)) == 3
    atoms.info["charge"], atoms.info["name"] = 1.0, "another"
    assert atoms.calc.check_state(atoms) == []


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"charge": 5}, "the charge of the structure is 5, but .* takes a whole number from -4 to 4"),
        ({"charge": 0.5}, "is 0.5, .* a whole number"),
        ({"charge": "1"}, "is '1'"),
        ({"spin": -1}, 'from 0 to 5; correct atoms.info."spin".'),
        ({"spin": float("nan")}, "is nan"),
    ],
)
def test_values_that_a_model_does_not_take_are_refused(info, words, model):
    atoms = structure(info)
    for calculate in (MaceReference(model_of("tables")).evaluate, MlipCalculator(model).get_potential_energy):
        with pytest.raises(UserInputError, match=words):
            calculate(atoms)


def test_a_relaxation_keeps_the_charge(model):
    atoms = rattled_triclinic(ELEMENTS, seed=2)
    atoms.info = {"charge": 2, "spin": 3}
    found = relax(atoms, MlipCalculator(model, n_threads=1), force_tolerance=0.5, max_steps=200)
    assert found.energy == pytest.approx(MaceReference(model_of("tables")).evaluate(found.atoms).energy)
    assert found.atoms.info == atoms.info


@pytest.mark.parametrize("engine", ["ase", "lammps"])
def test_a_command_takes_charge_and_spin_from_the_file(engine, model, tmp_path, capsys):
    info, atoms = {"charge": 2, "spin": 3}, rattled_triclinic(ELEMENTS, seed=2)
    atoms.info = dict(info)
    ase.io.write(tmp_path / "charged.extxyz", atoms)
    arguments = ["--force-tolerance", "0.5", "--engine", engine, "--dtype", "float64", "--out", str(tmp_path / "run")]
    assert main(["relax", str(model), str(tmp_path / "charged.extxyz"), *arguments]) == 0
    found = ase.io.read(tmp_path / "run" / "charged.extxyz")
    expected = MaceReference(model_of("tables")).evaluate(structure_of(found, info)).energy
    assert found.get_potential_energy() == pytest.approx(expected, abs=1e-6)
    assert found.info == info
    assert "does not state" not in capsys.readouterr().out


def structure_of(atoms: Atoms, info: dict[str, float]) -> Atoms:
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=info)


def test_dynamics_takes_charge_and_spin_from_the_file_and_warns_without(model, tmp_path, capsys):
    atoms = structure()
    for name, info in (("charged", {"charge": 2, "spin": 3}), ("plain", {})):
        atoms.info = info
        ase.io.write(tmp_path / f"{name}.extxyz", atoms)
        run = ["md", str(model), str(tmp_path / f"{name}.extxyz"), "--out", str(tmp_path / name), "--time", "0.002"]
        assert main([*run, "--dtype", "float64"]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert ("plain does not state the spin and charge, so spin 1 and charge 0 are used" in printed) == (not info)
        assert "pair_style" not in printed
    assert "spin 3 charge 2" in (tmp_path / "charged" / "in.md").read_text()


def test_images_of_a_path_have_the_charge_of_its_ends():
    first = structure({"charge": 2, "spin": 3})
    last = first.copy()
    last.positions[0] += 0.1
    assert all(image.info == first.info for image in paths._start(first, last, 2))


def box(folder: Path) -> Atoms:
    atoms = structure()
    write_data(folder / "box.data", atoms, ELEMENTS)
    return atoms


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize(("kind", "info"), [("tables", {"charge": 2, "spin": 3}), ("tables", {}),
                                            ("numbers", {"charge": 0.25}), ("nonlinear", {"charge": -1})])  # fmt: skip
def test_lammps_equals_ase(kind, info, n_ranks, compiled_files, tmp_path):
    atoms = box(tmp_path)
    atoms.info = dict(info)
    keywords = " ".join(f"{name} {value}" for name, value in info.items())
    done = run_lammps(deck(f"mlip/torch {keywords}", pair_coeff(f"{compiled_files[kind]} H O")), n_ranks, tmp_path)
    assert_results_agree(read_results(done), expected_results(compiled_files[kind], atoms))
    for name, value in info.items():
        assert f"{compiled_files[kind].name}, {name} {value:g}" in done.output
    assert ("energy depends on numbers that pair_style does not give" in done.output) == ("charge" not in info)
    if not info:
        assert "uses spin 1 and charge 0; to choose, use: pair_style mlip/torch spin 1 charge 0" in done.output


def test_a_repeated_pair_style_changes_the_charge_of_the_next_run(model, tmp_path):
    atoms = box(tmp_path)
    atoms.info = {"charge": 1}
    runs = "run 0\npair_style mlip/torch charge 1\nrun 0"
    done = run_lammps(deck("mlip/torch charge 3", pair_coeff(f"{model} H O"), runs=runs), 2, tmp_path)
    assert_results_agree(read_results(done), expected_results(model, atoms))


def test_a_restart_file_keeps_charge_and_spin(model, tmp_path):
    atoms = box(tmp_path)
    atoms.info = {"charge": -2, "spin": 4}
    first = "run 0\nwrite_restart half"
    run_lammps(deck("mlip/torch spin 4 charge -2", pair_coeff(f"{model} H O"), runs=first), 2, tmp_path)
    again = deck("", pair_coeff(f"{model} H O"), atoms="read_restart half").replace("pair_style \n", "")
    assert_results_agree(read_results(run_lammps(again, 1, tmp_path)), expected_results(model, atoms))


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize(
    ("kind", "keywords", "words"),
    [
        ("tables", "charge 5", "charge is 5, but .*takes values from -4 to 4; correct pair_style"),
        ("tables", "charge 0.5", "charge is 0.5, but .*takes whole numbers"),
        pytest.param(
            "nonlinear", "spin 2", "keyword spin is given, but .*does not depend on it; remove spin", id="no spin"
        ),
        ("tables", "charge", "charge needs a value"),
        ("tables", "charge one", "Expected floating point"),
    ],
)
def test_keywords_that_a_model_does_not_take_stop_all_ranks(kind, keywords, words, n_ranks, compiled_files, tmp_path):
    box(tmp_path)
    text = deck(f"mlip/torch {keywords}", pair_coeff(f"{compiled_files[kind]} H O"))
    assert re.search(words, error_line(run_lammps(text, n_ranks, tmp_path, is_refused=True)))


def test_a_model_without_a_charge_refuses_the_keyword(compile_once, tmp_path):
    box(tmp_path)
    text = deck("mlip/torch charge 0", pair_coeff(f"{compile_once('two_layers')} H O"))
    message = error_line(run_lammps(text, 2, tmp_path, is_refused=True))
    assert re.search("keyword charge is given, but .*does not depend on it; remove charge", message)


def test_a_gpu_file_is_refused_by_name(sources, tmp_path):
    with pytest.raises(UnsupportedModelError, match=r"a charge or spin embedding.*--device cpu"):
        export_model(sources["tables"], tmp_path / "model.pt2", device="emulated")


def test_info_lists_the_inputs(sources, model, capsys):
    assert main(["info", str(sources["tables"])]) == 0
    assert re.search("embedding 1 .*total_spin.*\n *embedding 2 .*total_charge.*offset 4", capsys.readouterr().out)
    assert main(["info", str(model), "--json"]) == 0
    inputs = json.loads(capsys.readouterr().out)["global_inputs"]
    assert [one["name"] for one in inputs] == ["spin", "charge"]
    assert (inputs[1]["lowest"], inputs[1]["highest"], inputs[1]["default"]) == (-4.0, 4.0, 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_portable_form_keeps_the_model(kind, sources):
    trained, again = model_of(kind), read_model(sources[kind])
    assert again.spec == trained.spec
    assert all(again.weights[name].tobytes() == array.tobytes() for name, array in trained.weights.items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embeddings": (replace(CHARGE, offset=-1),)}, "lacks the default 0"),
        ({"embeddings": (CHARGE, CHARGE)}, "the names of its embeddings"),
        ({"embeddings": (replace(CHARGE, n_classes=None),)}, "the classes of total_charge"),
        ({"embeddings": (replace(CHARGE, n_classes=10), SPIN)}, "has shape 9x6, expected 10x6"),
        ({"embeddings": ()}, "a readout of embeddings that it lacks"),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(change, words, tmp_path):
    trained = model_of("tables")
    with pytest.raises(ModelFileError, match=words):
        write_portable(replace(trained, spec=replace(trained.spec, **change)), tmp_path / "model.safetensors")
