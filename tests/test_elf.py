"""Removal of a dependency from a shared object."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from mlip_lammps.compilation.elf import drop_needed


def _build(folder: Path, name: str, source: str, *flags: str) -> Path:
    path = folder / f"lib{name}.so"
    (folder / f"{name}.c").write_text(source)
    command = ["g++", "-shared", "-fPIC", "-x", "c", str(folder / f"{name}.c"), "-x", "none", "-o", str(path)]
    subprocess.run([*command, f"-Wl,-soname,{path.name}", "-Wl,--no-as-needed", *flags], check=True)
    return path


def test_a_dropped_library_is_no_longer_needed(tmp_path):
    unused = _build(tmp_path, "unused", "int unused(void) { return 1; }")
    user = _build(tmp_path, "user", "int answer(void) { return 42; }", f"-L{tmp_path}", "-lunused", "-lm")
    unused.unlink()
    copy = tmp_path / "copy.so"
    shutil.copy(user, copy)
    with pytest.raises(OSError, match=r"libunused\.so"):
        ctypes.CDLL(str(copy))
    assert drop_needed(user, "libunused.so")
    assert not drop_needed(user, "libunused.so")
    assert ctypes.CDLL(str(user)).answer() == 42


def test_files_of_other_formats_are_unchanged(tmp_path):
    text = tmp_path / "text.so"
    text.write_text("no shared object")
    assert not drop_needed(text, "libm.so.6")
    assert text.read_text() == "no shared object"
