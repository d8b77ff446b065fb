"""Modules import only from lower floors, see docs/architecture.md; checked on the source."""

import ast
import tomllib
from pathlib import Path

import pytest

import mlip_lammps

PACKAGE = Path(mlip_lammps.__file__).parent
FLOORS = (
    "core",
    "structure",
    "model_file",
    "kernels",
    "families",
    "compilation",
    "engines",
    "analysis",
    "workflows",
    "verify",
    "cli",
)
FREE_OF_TORCH = (
    "core",
    "structure",
    "model_file",
    "families.ace.family",
    "families.ace.parts",
    "families.ace.reader",
    "families.ace.spec",
    "families.ace.text_file",
    "families.ace.yace",
    "families.ani.family",
    "families.ani.neurochem",
    "families.ani.parts",
    "families.ani.published",
    "families.ani.spec",
    "families.ani.state_dict",
    "families.ani.torch_file",
    "families.bpnn.family",
    "families.bpnn.input_file",
    "families.bpnn.networks",
    "families.bpnn.reader",
    "families.bpnn.spec",
    "families.bpnn.symmetry_functions",
    "families.chgnet.family",
    "families.chgnet.reader",
    "families.chgnet.settings",
    "families.chgnet.spec",
    "families.family",
    "families.gated.irreps",
    "families.gated.modals",
    "families.gated.spec",
    "families.gated.validation",
    "families.m3gnet.family",
    "families.m3gnet.reader",
    "families.m3gnet.settings",
    "families.m3gnet.spec",
    "families.matgl",
    "families.matgl_chgnet.family",
    "families.matgl_chgnet.reader",
    "families.matgl_chgnet.settings",
    "families.matgl_chgnet.spec",
    "families.nequip",
    "families.registry",
    "families.sevennet",
    "families.tensornet.family",
    "families.tensornet.reader",
    "families.tensornet.settings",
    "families.tensornet.spec",
    "families.mace.family",
    "families.mace.interactions",
    "families.mace.reader",
    "families.mace.spec",
    "analysis",
)
# The plugin's folder is beside the package in the repository, and inside the package when installed.
MODULES = [path for path in sorted(PACKAGE.rglob("*.py")) if "pair_style" not in path.parts]


def imported_modules(source: str, module: str, for_types: bool = True) -> list[str]:
    """Return the dotted names that the source of ``module`` imports, including imports inside functions.

    Parameters
    ----------
    for_types
        Whether to include imports under ``if TYPE_CHECKING``.
    """
    names, tree = [], ast.parse(source)
    if not for_types:
        tree.body = [node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node))]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parent = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*parent, *filter(None, [node.module])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


def forbidden_imports(source: str, module: str) -> list[str]:
    """Return the imports of ``module`` from higher floors, and external imports that its floor must not use."""
    folder = module.split(".")[1]
    folders = {*FLOORS, "models", "testing"}
    if folder in FLOORS:
        allowed = {*FLOORS[: FLOORS.index(folder) + 1], "models"}
    else:
        # names of the package itself are imported lazily
        allowed = {"__init__": {"core"}, "models": {"core", "models"}, "testing": folders}.get(folder, set())
    wrong = []
    if is_free_of_torch(module):
        wrong += [name for name in imported_modules(source, module, for_types=False) if name.split(".")[0] == "torch"]
    for name in imported_modules(source, module):
        root, *rest = name.split(".")
        if root == "mlip_lammps" and rest and rest[0] in folders - allowed:
            wrong.append(name)
    return wrong


def is_free_of_torch(module: str) -> bool:
    return any(f"{module}.".startswith(f"mlip_lammps.{place}.") for place in FREE_OF_TORCH)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    assert forbidden_imports(path.read_text(), ".".join(parts)) == []


def test_an_installation_has_every_package_and_source_file():
    """Packages are listed by hand in pyproject.toml."""
    settings = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("__init__.py")}
    packages = {".".join(folder.parts) for folder in folders if "pair_style" not in folder.parts}
    assert set(settings["packages"]) == {*packages, "mlip_lammps.inputs", "mlip_lammps.pair_style"}
    plugin = PACKAGE.parent / "pair_style"
    for folder, name in ((PACKAGE, "mlip_lammps"), (plugin, "mlip_lammps.pair_style")):
        included = {file for pattern in settings["package-data"][name] for file in folder.glob(pattern)}
        assert {file for ending in ("h", "cpp", "hpp") for file in folder.rglob(f"*.{ending}")} <= included


def test_every_folder_stands_on_a_floor():
    folders = {path.relative_to(PACKAGE).parts[0] for path in MODULES if path.parent != PACKAGE}
    assert folders <= {*FLOORS, "models", "testing"}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("mlip_lammps.structure.boxes", "import mlip_lammps.families.mace.layers"),
        ("mlip_lammps.structure.boxes", "def f():\n    from mlip_lammps import families"),
        ("mlip_lammps.structure.boxes", "def f():\n    from ..families import chain"),
        ("mlip_lammps.families.mace.layers", "from mlip_lammps.testing import random_models"),
        ("mlip_lammps.families.mace.spec", "from torch import nn"),
        ("mlip_lammps.models.__init__", "from mlip_lammps.compilation import export_model"),
        ("mlip_lammps.__init__", "import mlip_lammps.structure.boxes"),
    ],
)
def test_a_planted_import_is_found(module, source):
    assert forbidden_imports(source, module)
