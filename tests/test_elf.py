"""Removal of a dependency from a shared object."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from mlip_lammps.compilation.elf import drop_needed, forbid_executable_stack


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


def test_an_executable_stack_is_no_longer_requested(tmp_path):
    """AOTInductor links objects made of data, for which the linker asks for an executable stack."""
    path = _build(tmp_path, "user", "int answer(void) { return 42; }", "-Wl,-z,execstack")
    assert "RWE" in _stack_of(path)
    assert forbid_executable_stack(path)
    assert not forbid_executable_stack(path)
    assert "RW " in _stack_of(path)
    assert ctypes.CDLL(str(path)).answer() == 42


def _stack_of(path: Path) -> str:
    shown = subprocess.run(["readelf", "-lW", str(path)], check=True, capture_output=True, text=True).stdout
    return next(line for line in shown.splitlines() if "GNU_STACK" in line)


def test_files_of_other_formats_are_unchanged(tmp_path):
    text = tmp_path / "text.so"
    text.write_text("no shared object")
    assert not drop_needed(text, "libm.so.6")
    assert not forbid_executable_stack(text)
    assert text.read_text() == "no shared object"
