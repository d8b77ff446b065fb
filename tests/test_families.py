"""A model family of another package works in export, ASE and LAMMPS without changes to this package."""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from lammps_run import environment, run_command
from toy_families import COUNTING, LENNARD_JONES, write_toy

from mlip_lammps.cli.main import main
from mlip_lammps.compilation import export_model
from mlip_lammps.compilation.cache import _family_digest
from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError, UserInputError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.engines.lammps.cases import Case, run_cases
from mlip_lammps.engines.lammps.process import find_program
from mlip_lammps.families import family_named, family_of, read_model, register_family, registry, select_head
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree, assert_virials_agree
from mlip_lammps.testing.structures import isolated_molecule, rattled_triclinic

SILENCE = 120
STRUCTURES = {
    "triclinic": rattled_triclinic(("H", "O"), repeat=(3, 3, 4), seed=2),
    "molecule in a corner": isolated_molecule(("H", "O")),
}


@pytest.fixture(autouse=True)
def registered(monkeypatch) -> None:
    monkeypatch.setattr(registry, "_registered", {})
    for family in (LENNARD_JONES, COUNTING):
        register_family(family)


@pytest.fixture(scope="module", params=[LENNARD_JONES, COUNTING], ids=lambda family: family.name)
def exported(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    source = write_toy(request.param, folder / "toy.json")
    register_family(request.param)
    export_model(source, folder / "toy.pt2", dtype="float64")
    return source, folder / "toy.pt2"


def assert_agree(found, expected) -> None:
    n_atoms = len(expected.forces)
    assert_energies_agree(found.energy, expected.energy, n_atoms, tolerances.LAMMPS_ENERGY_PER_ATOM)
    assert_forces_agree(found.forces, expected.forces, tolerances.LAMMPS_FORCE)
    assert_virials_agree(found.virial / n_atoms, expected.virial / n_atoms, tolerances.LAMMPS_VIRIAL_PER_ATOM)


def test_a_file_is_read_by_its_family(exported):
    source, compiled = exported
    trained = read_model(source)
    assert family_of(trained).name == trained.family == read_metadata(compiled)["family"]


def test_ase_equals_the_reference(exported):
    source, compiled = exported
    trained = read_model(source)
    reference = family_of(trained).reference(trained)
    for atoms in STRUCTURES.values():
        expected = reference.evaluate(atoms)
        assert np.abs(expected.forces).max() > 0.01
        atoms = atoms.copy()
        atoms.calc = MlipCalculator(compiled, n_threads=1)
        assert_energies_agree(atoms.get_potential_energy(), expected.energy, len(atoms), tolerances.EXACT_SYMMETRY)
        assert_forces_agree(atoms.get_forces(), expected.forces, tolerances.REFERENCE_FORCE)
        np.testing.assert_allclose(atoms.get_stress(), expected.stress, rtol=0, atol=tolerances.REFERENCE_STRESS)


@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_lammps_equals_the_reference(exported, n_ranks):
    source, compiled = exported
    trained = read_model(source)
    reference = family_of(trained).reference(trained)
    found = run_cases(
        [Case(name, atoms) for name, atoms in STRUCTURES.items()], compiled, n_ranks, silence_seconds=SILENCE
    )
    assert found.faults == {}
    for name, atoms in STRUCTURES.items():
        assert_agree(found.results[name].evaluation, reference.evaluate(atoms))


def test_the_two_layer_family_depends_on_second_neighbours(tmp_path):
    """Otherwise its LAMMPS test would pass without an exchange of features."""
    reference = COUNTING.reference(read_model(write_toy(COUNTING, tmp_path / "toy.json")))
    chain = Atoms("OHO", positions=[[0, 0, 0], [2.5, 0, 0], [5, 0, 0]])
    assert chain.get_distance(0, 2) > reference.cutoff
    energies = [reference.evaluate(atoms).node_energies[0] for atoms in (chain, chain[:2])]
    assert abs(energies[0] - energies[1]) > 1e-4


def test_a_family_without_kernels_is_refused_for_a_gpu(tmp_path):
    source = write_toy(LENNARD_JONES, tmp_path / "toy.json")
    with pytest.raises(UnsupportedModelError, match=r"lennard-jones models are plain torch.* --device cpu"):
        export_model(source, tmp_path / "toy.pt2", device="cuda")


def test_a_file_of_no_family_is_refused(tmp_path):
    (tmp_path / "model.txt").write_text("not a model at all")
    words = r"is not a model file; give a file of toys \(.json\), mace-torch \(.model\), .*, MatGL \([^)]*\)(?!.*MatGL)"
    with pytest.raises(ModelFileError, match=words):
        read_model(tmp_path / "model.txt")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("Si.sw", "# Stillinger-Weber", "pair style sw of LAMMPS, .* no export; .*lammps:sw:/.*Si.sw"),
        ("Al.eam.alloy", "comment", "lammps:eam/alloy:"),
        ("gp.xml", '<GAP_2025><GAP_params gap_version="1"/></GAP_2025>', "is a GAP potential, .* no pair style"),
        ("Ti.10t-10t.ann", "\x08", "is an aenet potential"),
    ],
)
def test_potentials_of_other_programs_are_named(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ModelFileError, match=words):
        read_model(tmp_path / name)


def test_a_folder_without_a_model_is_refused_with_the_folders_that_are_read(tmp_path):
    words = r"is a folder without a model; .*: MatGL \([^)]*\), n2p2 or RuNNer [^,]*$"
    with pytest.raises(ModelFileError, match=words):
        read_model(tmp_path)


def test_a_family_without_heads_refuses_a_head(tmp_path):
    trained = read_model(write_toy(COUNTING, tmp_path / "toy.json"))
    assert select_head(trained, None) is trained
    with pytest.raises(UserInputError, match="has no heads; do not choose one"):
        select_head(trained, "pbe")


INSTALLED = """
[mlip_lammps.families]
lennard-jones = toy_families:LENNARD_JONES
"""


def with_package(folder: Path, entry_points: str) -> dict[str, str]:
    """Return an environment in which another package is installed."""
    record = folder / "site" / "toy_package-1.0.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
    (record / "entry_points.txt").write_text(entry_points)
    paths = [folder / "site", *environment()["PYTHONPATH"].split(os.pathsep)]
    return {"PYTHONPATH": os.pathsep.join(map(str, paths))}


def test_the_command_line_knows_the_family_of_an_installed_package(tmp_path):
    write_toy(LENNARD_JONES, tmp_path / "toy.json")
    command = [find_program("mlip-lammps"), "info", "toy.json"]
    assert "supported  no" in run_command(command, tmp_path).output
    found = run_command(command, tmp_path, changes=with_package(tmp_path, INSTALLED)).output
    rows = dict(line.split(maxsplit=1) for line in found.splitlines())
    assert rows["supported"] == "yes"
    assert rows["family"] == rows["form"] == LENNARD_JONES.name
    assert rows["elements"] == "H O"
    assert "mace" not in found.lower()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:FAMILY", "cannot be loaded (ModuleNotFoundError: No module named 'no_such_module'); update"),
        ("toy_families:ToyModel", "lacks name, files, is_model_file, read, reference, layers; see"),
    ],
)
def test_a_broken_family_of_an_installed_package_is_named(value, message, tmp_path):
    write_toy(LENNARD_JONES, tmp_path / "toy.json")
    changes = with_package(tmp_path, f"[mlip_lammps.families]\nbroken = {value}\n")
    command = [find_program("mlip-lammps"), "export", "toy.json", "-o", "toy.pt2"]
    done = run_command(command, tmp_path, changes=changes, is_refused=True)
    assert f"the model family broken = {value} of toy-package {message}" in done.output
    assert done.code == 2


def test_the_export_of_another_family_has_no_words_of_mace(tmp_path, capsys):
    source = write_toy(LENNARD_JONES, tmp_path / "toy.json")
    assert main(["export", str(source), "-o", str(tmp_path / "toy.pt2"), "--dtype", "float64"]) == 0
    found = capsys.readouterr().out
    assert "error vs reference" in found
    assert "network" not in found
    assert "mace" not in found.lower()


def test_an_incomplete_family_is_refused():
    with pytest.raises(UserInputError, match="the family lacks name, files, is_model_file, read, reference, layers"):
        register_family(object())


def test_another_version_of_a_family_is_compiled_again(tmp_path, monkeypatch):
    module = tmp_path / "changing_family.py"
    monkeypatch.syspath_prepend(tmp_path)
    digests = []
    for version in (1, 1, 2):
        module.write_text(f"from toy_families import ToyFamily\nclass Changing(ToyFamily): version = {version}\n")
        family = importlib.import_module("changing_family").Changing("changing", 1)
        digests.append(_family_digest(family))
    assert digests[0] == digests[1] != digests[2]
    assert _family_digest(family_named("mace")) == ""
