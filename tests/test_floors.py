"""Imports go down only: docs/architecture.md, checked on the source."""

import ast
from pathlib import Path

import pytest

import mlip_lammps

PACKAGE = Path(mlip_lammps.__file__).parent
FLOORS = (
    "core",
    "structure",
    "checkpoint",
    "model",
    "kernels",
    "export",
    "engines",
    "workflows",
    "analysis",
    "cli",
)
FREE_OF_TORCH = ("core", "structure", "checkpoint")
# The plugin's folder stands beside the package and is a part of it only where it is installed.
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if "pair_style" not in path.parts]


def imported_modules(source: str, module: str) -> list[str]:
    """Return the dotted names that the source of ``module`` imports, inside functions too."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parent, *filter(None, [node.module])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


def forbidden_imports(source: str, module: str) -> list[str]:
    """Return the imports of ``module`` that go up, or that its floor must do without."""
    folder = module.split(".")[1]
    folders = {*FLOORS, "models", "testing"}
    if folder in FLOORS:
        allowed = {*FLOORS[: FLOORS.index(folder) + 1], "models"}
    else:
        allowed = {"models": {"core", "models"}, "testing": folders}.get(folder, set())
    wrong = []
    for name in imported_modules(source, module):
        root, *rest = name.split(".")
        if root == "torch" and folder in FREE_OF_TORCH:
            wrong.append(name)
        if root == "mlip_lammps" and rest and rest[0] in folders - allowed:
            wrong.append(name)
    return wrong


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    assert forbidden_imports(path.read_text(), ".".join(parts)) == []


def test_every_folder_stands_on_a_floor():
    folders = {path.relative_to(PACKAGE).parts[0] for path in MODULES if path.parent != PACKAGE}
    assert folders <= {*FLOORS, "models", "testing"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mlip_lammps.structure.boxes", "import mlip_lammps.export.layers"),
        ("mlip_lammps.structure.boxes", "def f():\n    from mlip_lammps import model"),
        ("mlip_lammps.structure.boxes", "def f():\n    from ..model import reference"),
        ("mlip_lammps.export.layers", "from mlip_lammps.testing import random_models"),
        ("mlip_lammps.checkpoint.spec", "from torch import nn"),
        ("mlip_lammps.models.__init__", "from mlip_lammps.export import export_model"),
        ("mlip_lammps.__init__", "import mlip_lammps.core.errors"),
    ],
)
def test_a_planted_import_is_found(module, source):
    assert forbidden_imports(source, module)
