"""Constants of an atomic cluster expansion for a subset of its elements, the input of the backends."""

from dataclasses import dataclass

import torch
from torch import Tensor


class CubicSplines:
    """Cubic polynomials between equally spaced points, with given values and slopes there, for pairs of elements.

    Parameters
    ----------
    values, slopes
        For each pair i * n_elements + j, at the points 0, 1, ... n_intervals, shape (n_intervals + 1, n_functions);
        slopes times the distance of the points. Those at the first point, distance 0, are not used.
    cutoffs
        Distance of the last point in angstrom, of each pair.
    """

    def __init__(self, values: list[Tensor], slopes: list[Tensor], cutoffs: list[float]):
        counts = [len(one) for one in values]
        self.values, self.slopes, self.cutoffs = torch.cat(values), torch.cat(slopes), tuple(cutoffs)
        self.n_intervals = tuple(count - 1 for count in counts)
        self._first = torch.tensor([sum(counts[:k]) for k in range(len(counts))])
        self._last = torch.tensor(self.n_intervals) - 1
        scales = [count / cutoff for count, cutoff in zip(self.n_intervals, cutoffs, strict=True)]
        self._per_angstrom = torch.tensor(scales, dtype=torch.float64)

    @property
    def n_functions(self) -> int:
        return self.values.shape[1]

    def __call__(self, distances: Tensor, pairs: Tensor) -> Tensor:
        """Return the functions of ``pairs`` (n,) at ``distances`` (n,) in angstrom, shape (n, n_functions)."""
        found, _ = self.values_and_slopes(distances, pairs, has_slopes=False)
        return found

    def values_and_slopes(
        self, distances: Tensor, pairs: Tensor, has_slopes: bool = True
    ) -> tuple[Tensor, Tensor | None]:
        """Return the functions and their derivatives in 1/angstrom, shape (n, n_functions) each."""
        scale = self._per_angstrom.index_select(0, pairs)
        last = self._last.index_select(0, pairs)
        place = distances * scale
        # below the first point, 0.001 angstrom, its polynomial goes on
        number = place.detach().floor().clamp(1.0, 1e9).to(torch.int64)
        is_inside = (number <= last)[:, None]
        number = torch.minimum(number, last)
        t = (place - number)[:, None]
        row = self._first.index_select(0, pairs) + number
        f0, f1 = (self.values.index_select(0, row + k) for k in (0, 1))
        d0, d1 = (self.slopes.index_select(0, row + k) for k in (0, 1))
        rise = f1 - f0
        c2, c3 = 3.0 * rise - d1 - 2.0 * d0, d0 + d1 - 2.0 * rise
        values = torch.where(is_inside, f0 + t * (d0 + t * (c2 + t * c3)), 0.0)
        if not has_slopes:
            return values, None
        slopes = (d0 + t * (2.0 * c2 + 3.0 * t * c3)) * scale[:, None]
        return values, torch.where(is_inside, slopes, 0.0)

    def polynomials(self) -> Tensor:
        """Return the coefficients of t^k with t from -1 to 1, shape (n_pairs, n_intervals, n_functions, 4).

        All pairs must have the same intervals.
        """
        n_points = self.n_intervals[0] + 1
        values, slopes = (one.view(-1, n_points, self.n_functions) for one in (self.values, self.slopes))
        f0, f1, d0, d1 = values[:, :-1], values[:, 1:], slopes[:, :-1], slopes[:, 1:]
        rise = f1 - f0
        a = torch.stack([f0, d0, 3.0 * rise - d1 - 2.0 * d0, d0 + d1 - 2.0 * rise], dim=3)
        a[:, 0] = 0.0
        # s = (t + 1) / 2
        powers = torch.tensor([[1, 0, 0, 0], [1, 1, 0, 0], [1, 2, 1, 0], [1, 3, 3, 1]], dtype=torch.float64)
        return a @ (powers / torch.tensor([1.0, 2.0, 4.0, 8.0], dtype=torch.float64)[:, None])


@dataclass(frozen=True)
class ElementExpansion:
    """Expansion of the atoms of one element.

    Attributes
    ----------
    radial
        Shape (n_elements, n_radial, l_max + 1, n_base): from g_k to R_nl by element of the neighbour.
    factors
        For each number of factors, the factors of its terms, shape (n_terms, n_factors, 4): element of the neighbour,
        n from 0, l and m. A single factor is a sum of g_n.
    coefficients
        For each number of factors, shape (n_terms, n_densities).
    """

    radial: Tensor
    factors: dict[int, Tensor]
    coefficients: dict[int, Tensor]
    n_densities: int


@dataclass(frozen=True)
class ClusterExpansion:
    """Constants of the expansion.

    Attributes
    ----------
    splines
        The functions g_k.
    core
        Half the core repulsion of two atoms in eV, one function; None without.
    """

    l_max: int
    splines: CubicSplines
    core: CubicSplines | None
    elements: tuple[ElementExpansion, ...]

    @property
    def n_elements(self) -> int:
        return len(self.elements)

    @property
    def n_base(self) -> int:
        return self.splines.n_functions

    @property
    def n_densities(self) -> int:
        """Largest number of densities of an element."""
        return max(element.n_densities for element in self.elements)
