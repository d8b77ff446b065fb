"""Subprocesses: Python that imports the same package as this process, and ends with its parent."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Make the kernel end this process with SIGTERM when its parent dies, even if the parent is killed; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def python_module(module: str) -> list[str]:
    """Return the command that runs a module of this package in a separate Python process.

    Notes
    -----
    ``-P`` keeps the working folder off the import path. Without it, ``python -m`` in a clone of the repository would
    import the source tree instead of the installed package.
    """
    return [sys.executable, "-P", "-m", module]
