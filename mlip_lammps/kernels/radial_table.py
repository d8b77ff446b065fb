"""Radial weights as piecewise polynomials of the distance, in place of an MLP for every edge."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.polynomial import chebyshev
from torch import Tensor

_MAX_INTERVALS = 512


@dataclass(frozen=True)
class RadialTable:
    """Polynomials on equal intervals between 0 and the cutoff.

    Attributes
    ----------
    coefficients
        Of t^k with t from -1 to 1 across the interval, shape (n_intervals, n_functions, degree + 1), float64.
    cutoff
        Angstrom; beyond it every function is zero.
    value_error, slope_error
        Largest errors of a function and of its derivative (1/angstrom) found between the nodes.
    """

    coefficients: Tensor
    cutoff: float
    value_error: float
    slope_error: float

    @property
    def n_intervals(self) -> int:
        return self.coefficients.shape[0]

    @property
    def degree(self) -> int:
        return self.coefficients.shape[2] - 1

    def evaluate(self, distances: Tensor) -> Tensor:
        """Return the functions at ``distances`` (n,), shape (n, n_functions)."""
        place = distances / self.cutoff * self.n_intervals
        interval = place.detach().floor().clamp(0, self.n_intervals - 1).to(torch.int64)
        t = 2.0 * (place - interval) - 1.0
        coefficients = self.coefficients.index_select(0, interval)
        value = coefficients[:, :, -1]
        for k in range(self.degree - 1, -1, -1):
            value = value * t.unsqueeze(1) + coefficients[:, :, k]
        return torch.where((distances < self.cutoff).unsqueeze(1), value, torch.zeros_like(value))


def tabulate(functions: Callable[[Tensor], Tensor], cutoff: float, degree: int, slope_tolerance: float) -> RadialTable:
    """Interpolate at Chebyshev nodes, with as many intervals as the tolerance asks for.

    Parameters
    ----------
    functions
        Takes distances (n,) and returns (n, n_functions), float64.
    degree
        Of the polynomials.
    slope_tolerance
        Bound on the error of the derivatives, relative to their largest magnitude.

    Notes
    -----
    Errors are measured at 40 points an interval, the ends among them; the shortest distances, below 0.1 of the cutoff,
    are not: no two atoms come so close, and the basis functions vary most there.
    """
    n_intervals = 8
    while True:
        coefficients = _interpolate(functions, cutoff, degree, n_intervals)
        table = RadialTable(coefficients, cutoff, 0.0, 0.0)
        value_error, slope_error, slope_scale = _errors(functions, table)
        if slope_error <= slope_tolerance * max(slope_scale, 1e-300) or n_intervals >= _MAX_INTERVALS:
            return RadialTable(coefficients, cutoff, value_error, slope_error)
        n_intervals *= 2


def _interpolate(functions: Callable[[Tensor], Tensor], cutoff: float, degree: int, n_intervals: int) -> Tensor:
    nodes = chebyshev.chebpts1(degree + 1)
    width = cutoff / n_intervals
    distances = (np.arange(n_intervals)[:, None] + 0.5 * (nodes + 1.0)) * width
    values = functions(torch.from_numpy(distances.ravel())).detach().numpy()
    values = values.reshape(n_intervals, degree + 1, -1)
    to_power = np.linalg.inv(np.vander(nodes, degree + 1, increasing=True))
    return torch.from_numpy(np.einsum("kn,inf->ifk", to_power, values)).contiguous()


def _errors(functions: Callable[[Tensor], Tensor], table: RadialTable) -> tuple[float, float, float]:
    n_points = 40 * table.n_intervals
    distances = torch.linspace(0.1 * table.cutoff, table.cutoff * (1.0 - 1e-9), n_points, dtype=torch.float64)
    exact, exact_slope = torch.func.jvp(functions, (distances,), (torch.ones_like(distances),))
    found, found_slope = torch.func.jvp(table.evaluate, (distances,), (torch.ones_like(distances),))
    return (
        float((found - exact).abs().max()),
        float((found_slope - exact_slope).abs().max()),
        float(exact_slope.abs().max()),
    )
