"""Symmetry functions of an input.nn in the order of n2p2 and RuNNer. This module does not import torch.

The files of weights and scaling data have no names: they follow the sorted order of the symmetry functions (n2p2,
``operator<`` of each type).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.bpnn.input_file import InputFile, number_in
from mlip_lammps.families.bpnn.spec import AngularShape, RadialShape, SymmetryFunction

_CUTOFF_FORMS = ("hard", "cos", "tanh_unscaled", "tanh", "exp", "poly1", "poly2", "poly3", "poly4")
"""Cutoff functions by their number in input.nn."""
_WITH_ALPHA = ("cos", "exp", "poly1", "poly2", "poly3", "poly4")
_COMPACT_FORMS = {"p1": "poly1", "p2": "poly2", "p3": "poly3", "p4": "poly4", "e": "exp"}
_COMPACT_FORMS |= {f"{short}a": f"{name}a" for short, name in _COMPACT_FORMS.items() if short != "e"}


@dataclass(frozen=True)
class _Kind:
    """A type of symmetry function: how many neighbours it names, and how many words follow them."""

    n_neighbours: int
    n_words: int
    is_angular: bool
    is_narrow: bool = False
    is_compact: bool = False


_KINDS = {
    2: _Kind(1, 3, False),
    3: _Kind(2, 4, True, True),
    9: _Kind(2, 4, True),
    12: _Kind(0, 3, False),
    13: _Kind(0, 5, True, True),
    20: _Kind(1, 3, False, is_compact=True),
    21: _Kind(2, 5, True, True, True),
    22: _Kind(2, 5, True, is_compact=True),
    23: _Kind(0, 3, False, is_compact=True),
    24: _Kind(0, 5, True, True, True),
    25: _Kind(0, 5, True, is_compact=True),
}


def symmetry_functions(file: InputFile, elements: Sequence[int]) -> tuple[tuple[SymmetryFunction, ...], ...]:
    """Return the symmetry functions of each element in the order of its weights.

    Raises
    ------
    ModelFileError
        If a line has the wrong number of values, or values that cannot be.
    UnsupportedModelError
        If a type, a cutoff function or a parameter is not supported; the message names it.
    """
    form, alpha = _cutoff_function(file)
    found: list[list[tuple[tuple, SymmetryFunction]]] = [[] for _ in elements]
    for words in file.every("symfunction_short"):
        if len(words) < 2:
            raise ModelFileError(f"{file.path} has a line symfunction_short without a type; correct the file")
        line = _Line(file, words, elements)
        found[file.element(words[0], elements)].append(line.function(form, alpha))
    for number, functions in zip(elements, found, strict=True):
        if not functions:
            raise ModelFileError(f"{file.path} has no line symfunction_short for atomic number {number}; add them")
    return tuple(tuple(one for _, one in sorted(functions, key=lambda pair: pair[0])) for functions in found)


def _cutoff_function(file: InputFile) -> tuple[str, float]:
    file.word("cutoff_type")
    words = file.words("cutoff_type")
    alpha = words[1] if len(words) > 1 else (file.words("cutoff_alpha") or ["0"])[0]
    alpha = number_in(alpha, f"cutoff_type of {file.path}")
    form = dict(enumerate(_CUTOFF_FORMS)).get(int(words[0]) if words[0].isdigit() else -1)
    if form is None or form == "hard":
        raise UnsupportedModelError(
            f"{file.path} has cutoff_type {words[0]}, and this package supports 1 to 8; train with one of them"
            + (", because energies jump at a hard cutoff" if form == "hard" else "")
        )
    if form not in _WITH_ALPHA:
        alpha = 0.0  # n2p2 and RuNNer ignore it as well
    if not 0.0 <= alpha < 1.0:
        raise ModelFileError(f"{file.path} has the shift {alpha:g} of cutoff_type, expected 0 to 1; correct the file")
    return form, alpha


class _Line:
    """Words of a line symfunction_short."""

    def __init__(self, file: InputFile, words: Sequence[str], elements: Sequence[int]):
        self.text, self.path = " ".join(words), file.path
        number = int(words[1]) if words[1].isdigit() else -1
        if number not in _KINDS:
            known = ", ".join(map(str, _KINDS))
            raise UnsupportedModelError(
                f"{file.path} has a symmetry function of type {words[1]} ({self.text}), and this package supports "
                f"{known}; train with these"
            )
        self.number, self.kind = number, _KINDS[number]
        start = 2 + self.kind.n_neighbours
        self.values = list(words[start:])
        has_shift = number in (3, 9) and len(self.values) == self.kind.n_words + 1
        if len(self.values) != self.kind.n_words and not has_shift:
            raise ModelFileError(
                f"{file.path} has {len(self.values)} parameters in 'symfunction_short {self.text}', expected "
                f"{self.kind.n_words}; correct the file"
            )
        self.neighbours = sorted(elements[file.element(symbol, elements)] for symbol in words[2:start])
        self.places = tuple(elements.index(number) for number in self.neighbours)

    def function(self, form: str, alpha: float) -> tuple[tuple, SymmetryFunction]:
        """Return the sort key and the function."""
        key, radial, angular = self._compact() if self.kind.is_compact else self._gaussian(form, alpha)
        require = self._require
        require("cutoff", radial.cutoff, 0.0, 1e3, lambda low, value, high: low < value <= high)
        if angular is not None:
            # below one the force is infinite for an angle of 180 degrees
            require("zeta", angular.zeta, 1.0, 1e3)
            require("lambda", angular.sign, -1.0, 1.0)
        narrow = self.kind.is_narrow
        function = SymmetryFunction(self.number, tuple(self.neighbours), radial, angular, narrow)
        return (self.number, *key), function

    def _numbers(self, count: int) -> list[float]:
        return [number_in(word, f"'symfunction_short {self.text}' of {self.path}") for word in self.values[:count]]

    def _gaussian(self, form: str, alpha: float) -> tuple[tuple, RadialShape, AngularShape | None]:
        numbers = self._numbers(len(self.values))
        sign = zeta = shift = 0.0
        if not self.kind.is_angular:
            eta, shift, cutoff = numbers
        elif self.kind.n_neighbours:
            eta, sign, zeta, cutoff, *rest = numbers
            shift = rest[0] if rest else 0.0
        else:
            eta, shift, sign, zeta, cutoff = numbers
        self._require("eta", eta, 0.0, 1e6)
        radial = RadialShape("gaussian", cutoff, form, alpha, eta=eta, shift=shift)
        if not self.kind.is_angular:
            return (cutoff, eta, shift, *self.places), radial, None
        return (cutoff, eta, shift, zeta, sign, *self.places), radial, AngularShape("cosine", sign, zeta)

    def _compact(self) -> tuple[tuple, RadialShape, AngularShape | None]:
        *words, short = self.values
        left, cutoff, *angles = self._numbers(len(words))
        form = _COMPACT_FORMS.get(short)
        if form is None:
            raise UnsupportedModelError(
                f"{self.path} has the compact function {short} in 'symfunction_short {self.text}', and this package "
                f"supports {', '.join(_COMPACT_FORMS)}; train with these"
            )
        if left >= cutoff:
            raise ModelFileError(
                f"{self.path} has limits {left:g} and {cutoff:g} in 'symfunction_short {self.text}', expected the "
                "smaller first; correct the file"
            )
        radial = RadialShape("compact", cutoff, form, left=left)
        key = (short, *self.places, cutoff, left, *angles)
        if not angles:
            return key, radial, None
        low, high = angles
        is_whole = (low >= 0.0 or low + high == 0.0) and (high <= 180.0 or low + high == 360.0)
        if not (low < high and high - low <= 360.0 and is_whole):
            raise ModelFileError(
                f"{self.path} has the angles {low:g} and {high:g} in 'symfunction_short {self.text}', expected 0 to "
                "180, or symmetric about 0 or 180; correct the file"
            )
        angular_form = form.removesuffix("a")
        return key, radial, AngularShape("compact", left=low, right=high, form=angular_form)

    def _require(
        self, name: str, value: float, low: float, high: float, is_inside: Callable[..., Any] | None = None
    ) -> None:
        if not (is_inside(low, value, high) if is_inside else low <= value <= high):
            raise UnsupportedModelError(
                f"{self.path} has {name} {value:g} in 'symfunction_short {self.text}', and this package supports "
                f"{low:g} to {high:g}; train with one in this range"
            )
