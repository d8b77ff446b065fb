"""Helpers that kill ranks and find complete restart files."""

import os
import signal
from pathlib import Path

from mlip_lammps.core.errors import MlipError

END_OF_RESTART = b"LammpS RestartT\0"
"""Last bytes of every complete restart file (``magic string`` in read_restart.cpp)."""


def newest_complete(paths: list[Path]) -> Path:
    """Return the newest complete restart file among ``paths``.

    Raises
    ------
    MlipError
        If no file is complete.
    """
    whole = [path for path in paths if path.is_file() and path.read_bytes().endswith(END_OF_RESTART)]
    if not whole:
        raise MlipError(f"none of {', '.join(map(str, paths))} is a complete restart file")
    return max(whole, key=lambda path: path.stat().st_mtime_ns)


def kill_one_rank(folder: Path) -> None:
    """Send SIGKILL to one of the LAMMPS processes in ``folder``."""
    os.kill(max(ranks_in(folder)), signal.SIGKILL)


def ranks_in(folder: Path) -> list[int]:
    """Return the process IDs of all ``lmp`` processes in ``folder``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            is_there = os.readlink(entry / "cwd") == str(folder)
        except OSError:
            continue
        is_launcher = any(name in words[0] for name in (b"mpiexec", b"hydra"))
        if is_there and b"-in" in words and not is_launcher:
            found.append(int(entry.name))
    return found
