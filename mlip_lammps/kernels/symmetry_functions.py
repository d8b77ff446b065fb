"""Symmetry functions of atoms: sums over neighbours and over pairs of neighbours, the input of the backends."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal

FallingForm = Literal["cos", "smooth", "tanh", "poly1", "poly2", "poly3", "poly4", "biweight", "triweight"]


@dataclass(frozen=True)
class Falling:
    """A function of a distance or an angle t that falls to zero at t = origin + width.

    With x = (t - origin) / width, from 0 to 1, it is ``scale`` times

    - ``cos``: (1 + cos(pi x)) / 2
    - ``smooth``: exp(1 - 1 / (1 - x^order)), with denominators of at least ``floor``
    - ``tanh``: tanh(1 - x)^3
    - ``poly1`` to ``poly4``: the polynomial of the lowest degree with that many vanishing derivatives at both ends
    - ``biweight``, ``triweight``: (1 - x^2)^2 and (1 - x^2)^3

    Attributes
    ----------
    is_even
        Whether x is the absolute value of (t - origin) / width. Otherwise the function is constant below the origin.
    is_skewed
        Whether (2 - x) x takes the place of x.
    """

    form: FallingForm
    origin: float
    width: float
    is_even: bool = False
    is_skewed: bool = False
    scale: float = 1.0
    order: int = 2
    floor: float = 1e-10

    @property
    def end(self) -> float:
        return self.origin + self.width


@dataclass(frozen=True)
class PowerOfAngle:
    """``scale`` max(0, constant + cosine c + sine sqrt(1 - (shrink c)^2))^zeta, where c is the cosine of the angle."""

    constant: float
    cosine: float
    zeta: float
    scale: float
    sine: float = 0.0
    shrink: float = 0.0


@dataclass(frozen=True)
class RadialTerm:
    """exp(-eta (r - shift)^2) times a cutoff function."""

    cutoff: Falling
    eta: float = 0.0
    shift: float = 0.0


@dataclass(frozen=True)
class AngularTerm:
    """A function of the angle of two neighbours, times radial terms.

    Attributes
    ----------
    over
        ``ends``: the radial terms of the distances of both neighbours. ``all``: also that of the distance between them.
        ``mean``: the cutoff function of both distances, and the Gaussian of their mean.
    """

    radial: RadialTerm
    over: Literal["ends", "all", "mean"]
    angle: PowerOfAngle | Falling


@dataclass(frozen=True)
class WeightedTerm:
    """A term whose sum is added to a column with a factor."""

    term: RadialTerm | AngularTerm
    column: int
    weight: float = 1.0


@dataclass(frozen=True)
class SymmetryFunctions:
    """Sums of an atom by its element and those of its neighbours; lengths in the same unit as the edge vectors.

    Attributes
    ----------
    n_columns
        Number of sums; that of the element with most.
    radial
        For each element of the centre and each of the neighbours, the terms of neighbours.
    angular
        For each element of the centre and each of ``element_pairs``, the terms of pairs of neighbours.
    """

    n_columns: int
    radial: Sequence[Sequence[Sequence[WeightedTerm]]]
    angular: Sequence[Sequence[Sequence[WeightedTerm]]]

    @property
    def n_elements(self) -> int:
        return len(self.radial)


def element_pairs(n_elements: int) -> tuple[tuple[int, int], ...]:
    """Return the pairs of rows of the element table, (a, b) with a <= b."""
    return tuple(combinations_with_replacement(range(n_elements), 2))
