"""Every shipped model has a small file, a card, a licence and an entry in the list."""

import re
import tomllib
from pathlib import Path

import pytest
from ase.data import chemical_symbols

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families import read_model
from mlip_lammps.models import model_card, one_line_card, resolve_model, shipped_models

REPOSITORY = Path(__file__).parents[1]
MOST_BYTES = 2_000_000
each_model = pytest.mark.parametrize("name", shipped_models())


@each_model
def test_a_shipped_model_is_small_and_readable(name):
    file = resolve_model(name)
    assert file.stat().st_size < MOST_BYTES
    assert read_model(file).spec.atomic_numbers


@each_model
def test_the_line_of_a_card_names_elements_licence_and_errors(name):
    line = one_line_card(name)
    for number in read_model(resolve_model(name)).spec.atomic_numbers:
        assert chemical_symbols[number] in re.findall(r"\w+", line)
    for words in ("licence", "test frames", "meV per atom", "meV/angstrom"):
        assert words in line


@each_model
def test_a_card_says_everything_that_a_user_must_know(name):
    card = model_card(name).read_text()
    headings = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert headings == ["Not for", "Data", "Model", "Errors", "Cost", "Observables"]


@each_model
def test_the_licence_in_the_card_is_the_licence_beside_it(name):
    licence = one_line_card(name).split("licence ")[1].split(";")[0]
    assert f"SPDX-License-Identifier: {licence}\n" in model_card(name).with_name("LICENSE").read_text()


@each_model
def test_the_settings_of_its_training_are_in_the_repository(name):
    assert (REPOSITORY / "training" / f"{name}.yaml").is_file()
    assert (REPOSITORY / "training" / "logs" / f"{name}.txt").is_file()


def test_the_package_includes_the_models():
    package_data = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    shipped = {file for pattern in package_data["mlip_lammps"] for file in (REPOSITORY / "mlip_lammps").glob(pattern)}
    for file in shipped_models().values():
        assert set(file.parent.iterdir()) <= shipped


def test_the_list_shows_every_model(capsys):
    assert main(["models"]) == 0
    printed = capsys.readouterr().out
    for name in shipped_models():
        assert f"{name} (MACE): {one_line_card(name)}" in printed


@pytest.mark.parametrize("name", ["none.model", "none.nequip.zip", "none.pt2"])
def test_a_missing_file_is_called_missing(name):
    with pytest.raises(ModelFileError, match=f"there is no file {name}; check the path"):
        resolve_model(name)


def test_an_unknown_name_is_refused():
    words = r"helium is neither a file nor the name of a model.* water-revpbe0d3.* chgnet-0.3.0"
    with pytest.raises(ModelFileError, match=words):
        resolve_model("helium")
