"""Models with several heads: one is chosen, and it gives the energies of that head everywhere."""

import json

import numpy as np
import pytest

from mlip_lammps import MlipCalculator
from mlip_lammps.cli.main import EXIT_USER_INPUT, main
from mlip_lammps.compilation import compiled_model, export_model, runnable_model
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.engines.lammps.session import LammpsSession
from mlip_lammps.families import read_model, select_head
from mlip_lammps.families.mace import MaceReference, lower, write_portable
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree
from mlip_lammps.testing.random_models import random_model
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.verify.verify import find_subject

HEADS = ("pbe", "scan", "replay")
LISTED = "heads pbe, scan, replay; choose one"


@pytest.fixture(scope="module")
def trained():
    readout = {"has_biased_readout": True, "gate": "tanh"}
    return random_model(hidden_irreps="4x0e+4x1o", l_max=1, n_layers=2, seed=11, heads=HEADS, **readout)


@pytest.fixture(scope="module")
def portable(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("heads") / "heads.safetensors"
    write_portable(trained, path)
    return path


@pytest.fixture(scope="module")
def compiled(portable):
    return compiled_model(portable, dtype="float64", head="scan")


def test_portable_file_keeps_all_heads(trained, portable):
    again = read_model(portable)
    assert again.spec == trained.spec
    for name, array in trained.weights.items():
        assert again.weights[name].tobytes() == array.tobytes()


def test_a_portable_file_of_one_head_gives_that_head(trained, tmp_path):
    write_portable(select_head(trained, "replay"), tmp_path / "one.safetensors")
    again = read_model(tmp_path / "one.safetensors")
    assert again.spec.heads == ("replay",)
    atoms = rattled_triclinic(("H", "O"), seed=3)
    expected = MaceReference(select_head(trained, "replay")).evaluate(atoms)
    assert MaceReference(again).evaluate(atoms).energy == expected.energy


def test_heads_give_different_forces(trained):
    atoms = rattled_triclinic(("H", "O"), seed=3)
    first, second = (MaceReference(select_head(trained, head)).evaluate(atoms) for head in HEADS[:2])
    assert np.abs(first.forces - second.forces).max() > 1e-2


def test_several_heads_and_none_chosen_are_refused_with_the_list(trained, portable, tmp_path):
    calls = [
        lambda: export_model(portable, tmp_path / "out.pt2"),
        lambda: runnable_model(portable),
        lambda: find_subject(portable),
        lambda: MaceReference(trained),
        lambda: lower(trained),
    ]
    for call in calls:
        with pytest.raises(UserInputError, match=LISTED):
            call()
    assert list(tmp_path.glob("*.pt2")) == []


def test_an_unknown_head_is_refused_with_the_list(trained):
    with pytest.raises(UserInputError, match="no head PBE; choose one of pbe, scan, replay"):
        select_head(trained, "PBE")
    with pytest.raises(UserInputError, match="no head pbe; choose Default"):
        select_head(random_model(), "pbe")


@pytest.mark.parametrize("words", [["export", "-o", "out.pt2"], ["verify"], ["estimate", "--atoms", "10"]])
def test_commands_list_the_heads(portable, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert main([words[0], str(portable), *words[1:]]) == EXIT_USER_INPUT
    assert LISTED in capsys.readouterr().err


def test_info_lists_the_heads(portable, capsys):
    assert main(["info", str(portable), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["heads"] == list(HEADS)


def test_a_compiled_file_records_its_head_and_gives_its_energies(trained, compiled, portable):
    assert read_metadata(compiled)["head"] == "scan"
    atoms = rattled_triclinic(("H", "O"), seed=3)
    expected = MaceReference(select_head(trained, "scan")).evaluate(atoms)
    atoms.calc = MlipCalculator(compiled, n_threads=1, head="scan")
    limit = 10 * tolerances.TABLE_REFERENCE
    assert_energies_agree(atoms.get_potential_energy(), expected.energy, len(atoms), limit)
    assert_forces_agree(atoms.get_forces(), expected.forces, limit, atoms.numbers)
    with LammpsSession() as session:
        session.set_structure(atoms)
        session.set_model(compiled, head="scan")
        found = session.evaluate()
    assert_energies_agree(found.energy, expected.energy, len(atoms), limit)


def test_verify_compares_with_the_head_of_the_compiled_file(compiled, portable):
    subject = find_subject(compiled, portable)
    assert subject.trained.spec.heads == ("scan",)


def test_a_compiled_file_of_another_head_is_refused(compiled):
    with pytest.raises(UserInputError, match="compiled for the head scan, and the head pbe was asked for"):
        MlipCalculator(compiled, head="pbe")
    with LammpsSession() as session:
        session.set_structure(rattled_triclinic(("H", "O"), seed=3))
        with pytest.raises(UserInputError, match="compiled for the head scan"):
            session.set_model(compiled, head="pbe")
