"""Copies of the package with a planted fault, and ``mlip-lammps verify`` run from them."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from mutations import Mutation

import mlip_lammps
from mlip_lammps.core.native import MODEL_LIBRARY, PLUGIN_LIBRARY, native_folder
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.lammps.plugin import source_folder

PACKAGE = Path(mlip_lammps.__file__).parent
TIME_LIMIT = 1800
"""Time limit in s for a busy machine: a mutation of the lowering compiles a model and takes one to two minutes."""

SILENCE = 60
"""Time in s after which a rank counts as hanging; the slowest case takes a few seconds."""

# An export checks the file and would refuse it; verify must detect the fault without these checks.
WITHOUT_CHECKS = (
    Mutation(
        "the comparison of an export with the reference left out",
        "mlip_lammps/compilation/check.py",
        "        if off > scale * tolerance.energy or difference > scale * tolerance.force:\n",
        "        if False:\n",
        ("", ""),
    ),
    Mutation(
        "the check of edges beyond the cutoff left out",
        "mlip_lammps/compilation/export.py",
        '            if backend.runs_on == "cpu":  # a GPU finds its own edges\n',
        "            if False:\n",
        ("", ""),
    ),
)


@dataclass(frozen=True)
class Verified:
    """Result of ``mlip-lammps verify``: exit code, output, and its table (None if it wrote none)."""

    code: int
    output: str
    table: dict[str, Any] | None

    def failed(self) -> list[tuple[str, str]]:
        checks = self.table["checks"] if self.table else []
        return [(check["group"], check["name"]) for check in checks if check["verdict"] == "fail"]


class MutatedPackages:
    """Builder of mutated copies of the package and their plugins; unchanged sources are compiled once."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.objects = folder / "objects"
        self.objects.mkdir(parents=True)

    def make(self, name: str, mutations: Sequence[Mutation]) -> Path:
        """Return the root of a copy with ``mutations`` and a built plugin.

        Raises
        ------
        AssertionError
            If the text of a mutation does not occur exactly once in its file.
        """
        root = self.folder / name
        ignored = shutil.ignore_patterns("__pycache__", "pair_style", "*.so")
        shutil.copytree(PACKAGE, root / "mlip_lammps", ignore=ignored)
        shutil.copytree(
            source_folder(), root / "mlip_lammps" / "pair_style", ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
        for mutation in mutations:
            path = root / _place(mutation.file)
            path.write_text(replaced(path.read_text(), mutation))
        native = root / "mlip_lammps" / "pair_style"
        if changed := [one.file for one in mutations if one.file.startswith("pair_style/")]:
            self._build(native, changed)
        else:
            for library in (MODEL_LIBRARY, PLUGIN_LIBRARY):
                shutil.copy(native_folder() / library, native / library)
        return root

    def _build(self, native: Path, changed: Sequence[str]) -> None:
        build = _load(native / "build.py")
        run = build._run
        headers = b"".join(path.read_bytes() for path in sorted(native.rglob("*.h")))
        has_installed_model = all(file.removeprefix("pair_style/") in build.PLUGIN_SOURCES for file in changed)

        def run_once(command: list[str]) -> str:
            """Run a command of the build, except for what was compiled before: the result of that is copied.

            Faults show at any level of optimization, and -O1 compiles faster than -O3.
            """
            command = ["-O1" if word == "-O3" else word for word in command]
            target = Path(command[command.index("-o") + 1]) if "-o" in command else None
            if "-c" not in command:
                if has_installed_model and target is not None and target.stem == Path(MODEL_LIBRARY).stem:
                    shutil.copy(native_folder() / MODEL_LIBRARY, target)
                    return ""
                return run(command)
            source = command[command.index("-c") + 1]
            if has_installed_model and source in build.MODEL_SOURCES:
                return ""
            parts = [" ".join(command[:-1]).encode().replace(str(native).encode(), b""), headers]
            digest = hashlib.sha256(b"\0".join([*parts, (native / source).read_bytes()])).hexdigest()
            kept = self.objects / f"{digest}.o"
            if not kept.is_file():
                run(command)
                shutil.copy(target, kept)
            else:
                shutil.copy(kept, target)
            return ""

        build._run = run_once
        build.build(native)


def replaced(text: str, mutation: Mutation) -> str:
    """Return the text of a file with the mutation applied."""
    count = text.count(mutation.old)
    if count != 1:
        raise AssertionError(f"{mutation.name!r}: its text occurs {count} times in {mutation.file}, expected once")
    return text.replace(mutation.old, mutation.new)


def _place(file: str) -> Path:
    path = Path(file)
    return Path("mlip_lammps") / path if path.parts[0] == "pair_style" else path


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"planted_{path.parent.parent.parent.name}_build", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def emulated_from(root: Path, source: Path) -> Path:
    """Return a file for an emulated GPU that a copy of the package created from ``source``, without a check."""
    model = root / "emulated.pt2"
    code = (
        "import sys; from pathlib import Path; from mlip_lammps.families import read_model; "
        "from mlip_lammps.testing.emulated_gpu import write_emulated; "
        "write_emulated(read_model(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    environment = {**rank_environment(), "PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-c", code, source, model], cwd=root, env=environment, check=True)
    return model


def verify_from(root: Path, model: Path, *words: object, n_ranks: int = 2) -> Verified:
    """Run ``mlip-lammps verify`` from a copy of the package."""
    environment = {**rank_environment(), "PYTHONPATH": str(root), "MLIP_LAMMPS_CACHE": str(root / "cache")}
    table = root / "table.json"
    command = [sys.executable, "-m", "mlip_lammps.cli.main", "verify", model, "--ranks", n_ranks, "--json", table]
    done = subprocess.run(
        [*map(str, command), "--time-limit", str(SILENCE), *map(str, words)],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
        check=False,
    )
    written = json.loads(table.read_text()) if table.exists() else None
    return Verified(done.returncode, done.stdout + done.stderr, written)
