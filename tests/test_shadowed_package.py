"""A source tree in the working folder: processes of the package pass it by, and an error names it."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlip_lammps
from mlip_lammps.core.native import native_folder
from mlip_lammps.core.processes import python_module
from mlip_lammps.engines.lammps.cases import SET_BY_THE_PACKAGE, Case, run_cases
from mlip_lammps.testing.structures import rattled_triclinic

PACKAGE = Path(mlip_lammps.__file__).parent
TIME_LIMIT = 120


@pytest.fixture
def clone(tmp_path) -> Path:
    """Return a folder with the sources of the package and no libraries, as a clone has them."""
    folder = tmp_path / "clone"
    only_sources = shutil.ignore_patterns("__pycache__", "*.so", "*.o", "*.safetensors")
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=only_sources)
    return folder


@pytest.fixture
def site(tmp_path) -> Path:
    """Return a folder with the package as pip installs it."""
    folder = tmp_path / "site"
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", "*.safetensors"))
    shutil.copytree(native_folder(), folder / PACKAGE.name / "pair_style", dirs_exist_ok=True)
    return folder


def test_ranks_pass_by_a_source_tree_in_the_working_folder(clone, compile_once, monkeypatch):
    (clone / PACKAGE.name / "engines" / "lammps" / "worker.py").write_text("raise SystemExit('the clone')\n")
    monkeypatch.chdir(clone)
    atoms = rattled_triclinic(("H", "O"), seed=1)
    found = run_cases([Case("one", atoms)], compile_once("two_layers"), 2, silence_seconds=TIME_LIMIT)
    assert found.faults == {}
    assert np.isfinite(found.results["one"].evaluation.energy)


def test_a_python_of_the_package_does_not_import_from_the_working_folder(clone):
    (clone / PACKAGE.name / "core" / "machine.py").write_text("raise SystemExit('the clone')\n")
    command = python_module("mlip_lammps.core.machine")
    assert subprocess.run(command, cwd=clone, timeout=TIME_LIMIT, check=False).returncode == 0


@pytest.mark.parametrize(
    "call",
    [
        "from mlip_lammps.core.native import native_folder as f",
        "from mlip_lammps.engines.lammps.plugin import plugin_folder as f",
        "from mlip_lammps.engines.lammps import LammpsSession as f",
    ],
)
def test_a_source_tree_that_hides_the_installed_package_is_named(clone, site, call, monkeypatch):
    for name in SET_BY_THE_PACKAGE:  # another test of this process may have imported lammps
        monkeypatch.delenv(name, raising=False)
    # without the finders of an editable install, which know the libraries of the checkout
    code = f"""import sys
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in str(getattr(f, "__module__", ""))]
sys.path.append({str(site)!r})
{call}
f()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )
    assert f"imported the source tree {clone / PACKAGE.name}, which is not built" in done.stderr
    assert f"instead of the installed package {site / PACKAGE.name}; start Python in another folder" in done.stderr
    assert (done.returncode == 1) == ("plugin_folder" not in call)
    if "Session" in call:
        assert done.stderr.splitlines()[-1].startswith("mlip_lammps.core.errors.MlipError: Python imported the source")


def test_a_checkout_that_is_not_built_says_how_to_build_it(clone):
    code = f"""import sys
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in str(getattr(f, "__module__", ""))]
sys.path[:] = [entry for entry in sys.path if entry != {str(PACKAGE.parent)!r}]
from mlip_lammps.core.native import native_folder
native_folder()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=clone, capture_output=True, text=True, timeout=TIME_LIMIT, check=False
    )
    assert "is not built; run: mlip-lammps build-plugin" in done.stderr
