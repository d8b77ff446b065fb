"""Commands for Python subprocesses that import the same package as this process, not one in the working folder."""

import sys


def python_module(module: str) -> list[str]:
    """Return the command that runs a module of this package in a separate Python process.

    Notes
    -----
    ``-P`` keeps the working folder off the import path. Without it, ``python -m`` in a clone of the repository would
    import the source tree instead of the installed package.
    """
    return [sys.executable, "-P", "-m", module]
