"""Trained files of other installed packages are found by name, without importing the package."""

import shutil
import sys

import pytest
from package_files import file_of

from mlip_lammps.cli.main import main
from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families import read_model
from mlip_lammps.models import is_model_name, resolve_model
from mlip_lammps.models.installed import INSTALLED, installed_models, licence_of

NAME = "sevennet-mf-0"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return the file of a package that looks like SevenNet's."""
    file = tmp_path / INSTALLED[NAME].file
    file.parent.mkdir(parents=True)
    shutil.copy(file_of("modals.PBE"), file)
    (tmp_path / "sevenn" / "__init__.py").write_text("raise RuntimeError('imported')")
    record = tmp_path / "sevenn-0.13.0.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: sevenn\nVersion: 0.13.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    return file


def test_a_name_leads_to_the_file_of_the_package(installed):
    assert resolve_model(NAME) == installed
    assert installed_models()[NAME] == installed
    assert read_model(NAME).facts()["heads"] == ["PBE", "SCAN"]
    assert "sevenn" not in sys.modules


def test_models_and_info_name_the_package_and_its_licence(installed, capsys):
    assert main(["models"]) == 0
    line = f"{NAME} (SevenNet): SevenNet-MF-0, 89 elements, heads R2SCAN and PBE (package sevenn 0.13.0, licence MIT)"
    assert line in capsys.readouterr().out
    assert main(["info", NAME]) == 0
    found = " ".join(capsys.readouterr().out.split())
    assert "licence MIT (package sevenn 0.13.0)" in found
    assert "supported yes" in found
    assert licence_of(file_of("modals.PBE")) is None


def test_a_file_with_the_name_comes_first(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(file_of("linear_xplor"), tmp_path / NAME)
    assert read_model(NAME).facts()["heads"] == []


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(ModelFileError, match="sevennet-0 is a file of the Python package sevenn, which"):
        resolve_model("sevennet-0")


def test_names_are_model_names():
    assert all(is_model_name(name) for name in INSTALLED)
