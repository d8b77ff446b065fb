"""Checks of the arguments of public functions, which name the argument, what it is, and what it must be."""

import os
from collections.abc import Sequence
from numbers import Integral, Real

from mlip_lammps.core.errors import UserInputError


def require_path(name: str, value: object, expected: str = "a path or a string") -> None:
    """Raise ``UserInputError`` unless ``value`` is a path or a string that is not empty."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise UserInputError(f"{name} is {value!r}; give {expected}")


def require_count(name: str, value: object, lowest: int = 1) -> None:
    """Raise ``UserInputError`` unless ``value`` is an integer of at least ``lowest``."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < lowest:
        raise UserInputError(f"{name} is {value!r}; give a whole number of {lowest} or more")


def require_positive(name: str, value: object) -> None:
    """Raise ``UserInputError`` unless ``value`` is a finite number above 0."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value < float("inf"):
        raise UserInputError(f"{name} is {value!r}; give a finite number above 0")


def require_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise ``UserInputError`` unless ``value`` is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise UserInputError(f"{name} {value!r} is not one of {', '.join(choices)}; choose one of them")


def require_instance(name: str, value: object, kind: type, expected: str) -> None:
    """Raise ``UserInputError`` unless ``value`` is a ``kind``."""
    if not isinstance(value, kind):
        raise UserInputError(f"{name} is {type(value).__name__} {value!r:.40}; give {expected}")


def require_words(name: str, value: object, expected: str = "a list of symbols such as ['H', 'O']") -> None:
    """Raise ``UserInputError`` unless ``value`` is a sequence of strings, and not itself a string."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_sequence or not all(isinstance(word, str) for word in value):
        raise UserInputError(f"{name} is {value!r}; give {expected}")
