"""Calculators that are not models of this package, by one word: stock pair styles, and calculators by import path."""

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from ase.calculators.calculator import BaseCalculator, Calculator

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.engines.ase.stock_styles import StockStyle

STOCK = "lammps:"
FORMS = "lammps:STYLE:FILE, lammps:FILE or MODULE:NAME"


def other_calculator(text: str, elements: Sequence[str]) -> Calculator | None:
    """Return the calculator that a word names, or None if it names a model.

    Parameters
    ----------
    text
        ``lammps:STYLE:FILE`` with one or more files after the pair style; ``lammps:FILE`` with a file of LAMMPS
        commands; ``MODULE:NAME`` or ``FILE.py:NAME`` with a class or function that is called without arguments and
        returns an ASE calculator. Anything else is a model.
    elements
        Chemical symbols for the atom types of a pair style.

    Raises
    ------
    UserInputError
        If the word has one of these forms, and the file, module or name does not exist or returns no calculator.
    """
    if text.startswith(STOCK):
        *style, first = text.removeprefix(STOCK).split(":", 1)
        files = first.split(":") if style else [first]
        if not all(files):
            raise UserInputError(f"{text} names no potential file; give lammps:STYLE:FILE or lammps:FILE")
        return StockStyle(style[0] if style else "", files, elements)
    module, colon, name = text.rpartition(":")
    if not colon or Path(text).exists():
        return None
    found = getattr(_import(module, text), name, None)
    if found is None:
        raise UserInputError(f"{module} has no {name}; give {FORMS}")
    try:
        calculator = found() if callable(found) else found
    except TypeError as error:
        raise UserInputError(f"{text} cannot be called without arguments: {error}; give a function that can") from None
    except Exception as error:  # the user's code raises its own
        raise UserInputError(f"{text} raises {type(error).__name__}: {error}; correct it, or give {FORMS}") from error
    if not isinstance(calculator, BaseCalculator):
        raise UserInputError(
            f"{text} returns {type(calculator).__name__}, expected an ASE calculator; give a class or function that "
            "needs no arguments"
        )
    return calculator


def _import(module: str, text: str) -> object:
    """Return a module by its dotted name or its file."""
    try:
        if not module.endswith(".py"):
            return importlib.import_module(module)
        name = Path(module).stem
        spec = importlib.util.spec_from_file_location(name, module)
        found = importlib.util.module_from_spec(spec)
        sys.modules[name] = found  # so that its classes can be copied to other ranks
        spec.loader.exec_module(found)
        return found
    except (ImportError, FileNotFoundError) as error:
        raise UserInputError(f"cannot import {module} for {text}: {error}; give {FORMS}") from error
