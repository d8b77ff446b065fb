"""Python processes of this package: they import the package that this process runs, never the working folder's."""

import sys


def python_module(module: str) -> list[str]:
    """Return the command that runs a module of this package in a Python process of its own.

    Notes
    -----
    ``-P`` keeps the working folder out of the import path: started in a clone, ``python -m`` would take the source tree
    before the installed package.
    """
    return [sys.executable, "-P", "-m", module]
