"""Checks of the arguments of public functions, which name the argument, what it is, and what it must be."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from numbers import Integral, Real

from mlip_lammps.core.errors import UserInputError


def require_path(name: str, value: object, expected: str = "a path or a string") -> None:
    """Raise ``UserInputError`` unless ``value`` is a path or a string that is not empty."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise UserInputError(f"{name} is {value!r}; give {expected}")


@dataclass(frozen=True)
class Number:
    """The finite numbers that an argument may be.

    Attributes
    ----------
    lowest, highest
        Bounds, which are allowed themselves.
    is_whole
        Whether the number must be an integer.
    is_above
        Whether the number must be above ``lowest``.
    is_optional
        Whether None is allowed too.
    """

    lowest: float = -inf
    highest: float = inf
    is_whole: bool = False
    is_above: bool = False
    is_optional: bool = False

    def __str__(self) -> str:
        bounds = {
            (False, False): "",
            (True, False): f" above {self.lowest:g}" if self.is_above else f" of {self.lowest:g} or more",
            (False, True): f" of at most {self.highest:g}",
            (True, True): f" above {self.lowest:g} and at most {self.highest:g}" if self.is_above
                          else f" from {self.lowest:g} to {self.highest:g}",
        }  # fmt: skip
        kind = "whole" if self.is_whole else "finite"
        return f"a {kind} number{bounds[isfinite(self.lowest), isfinite(self.highest)]}"

    def accepts(self, value: object) -> bool:
        """Return whether an argument may have this value."""
        if value is None:
            return self.is_optional
        if isinstance(value, bool) or not isinstance(value, Integral if self.is_whole else Real):
            return False
        try:
            is_finite = isfinite(value)
        except OverflowError:  # an integer that no float can hold
            is_finite = False
        return is_finite and self.lowest <= value <= self.highest and not (self.is_above and value == self.lowest)

    def require(self, name: str, value: object) -> None:
        """Raise ``UserInputError`` unless the argument ``name`` may have this value."""
        if not self.accepts(value):
            raise UserInputError(f"{name} is {value!r}; give {self}")


COUNT = Number(lowest=1, is_whole=True)
POSITIVE = Number(lowest=0, is_above=True)


def require_count(name: str, value: object, lowest: int = 1) -> None:
    """Raise ``UserInputError`` unless ``value`` is an integer of at least ``lowest``."""
    Number(lowest=lowest, is_whole=True).require(name, value)


def require_positive(name: str, value: object) -> None:
    """Raise ``UserInputError`` unless ``value`` is a finite number above 0."""
    POSITIVE.require(name, value)


def require_numbers(name: str, values: object, each: Number, *, n: int | None = None, least: int = 1) -> None:
    """Raise ``UserInputError`` unless ``values`` is a sequence of numbers.

    Parameters
    ----------
    each
        What each number may be.
    n
        How many they must be; any number from ``least`` if None.
    """
    try:
        found = [] if isinstance(values, str) else list(values)
    except TypeError:
        found = []
    has_length = len(found) >= least if n is None else len(found) == n
    if not has_length or not all(map(each.accepts, found)):
        count = f"{least} or more" if n is None else n
        raise UserInputError(f"{name} is {values!r}; give {count} numbers, each {each}")


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
