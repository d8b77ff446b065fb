"""Radial weights as piecewise polynomials of the distance, in place of an MLP for every edge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.polynomial import chebyshev
from torch import Tensor

from mlip_lammps.core.errors import TableError

_DEGREES = (5, 7, 9)
_INTERVALS = (16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512)
_MORE_INTERVALS = (640, 768, 1024, 1280, 1536, 2048, 2560, 3072, 4096)
"""For the low degrees of GPU tables."""
_CACHED_BYTES = 640 << 10
_ERROR_POINTS = 3001


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
        value, _ = self._value_and_slope(distances)
        return torch.where((distances < self.cutoff).unsqueeze(1), value, torch.zeros_like(value))

    def _value_and_slope(self, distances: Tensor) -> tuple[Tensor, Tensor]:
        """Return the functions and their derivatives, below the cutoff."""
        place = distances / self.cutoff * self.n_intervals
        interval = place.detach().floor().clamp(0, self.n_intervals - 1).to(torch.int64)
        t = 2.0 * (place - interval) - 1.0
        coefficients = self.coefficients.index_select(0, interval)
        value, slope = coefficients[:, :, -1], torch.zeros_like(coefficients[:, :, -1])
        for k in range(self.degree - 1, -1, -1):
            slope = slope * t.unsqueeze(1) + value
            value = value * t.unsqueeze(1) + coefficients[:, :, k]
        return value, slope * (2.0 * self.n_intervals / self.cutoff)


def tabulate(
    functions: Callable[[Tensor], Tensor],
    matrix: Tensor,
    cutoff: float,
    slope_tolerance: float,
    value_bytes: int = 8,
    degrees: Sequence[int] = _DEGREES,
) -> RadialTable:
    """Interpolate ``functions(r) @ matrix`` at Chebyshev nodes, as finely as the tolerance asks for.

    Parameters
    ----------
    functions
        Takes distances (n,) and returns (n, n_hidden), float64: few functions, which are cheap to try tables of.
    matrix
        Shape (n_hidden, n_functions), float64.
    slope_tolerance
        Bound on the error of the derivatives, relative to their largest magnitude.
    value_bytes
        Of a number of the table where it is used.
    degrees
        Of the polynomials, to choose from.

    Raises
    ------
    TableError
        If the finest table is too coarse.

    Notes
    -----
    The lowest degree whose table stays near (640 kB, about a second cache level), else the smallest table.
    Errors are measured between the nodes, the ends of intervals among them; the shortest distances, below 0.1 of the
    cutoff, are not: no two atoms come so close, and the basis functions vary most there.
    """
    distances = torch.linspace(0.1 * cutoff, cutoff * (1.0 - 1e-9), _ERROR_POINTS, dtype=torch.float64)
    exact = torch.func.jvp(functions, (distances,), (torch.ones_like(distances),))
    tables = []
    for degree in degrees:
        table = _coarsest_table(functions, matrix, cutoff, degree, slope_tolerance, distances, exact)
        if table is not None:
            tables.append(table)
            if table.coefficients.numel() * value_bytes <= _CACHED_BYTES:
                break
    if not tables:
        raise TableError(f"no table of radial functions is right to {slope_tolerance:.0e}; export with --radial exact")
    return min(tables, key=lambda table: table.coefficients.numel())


def _coarsest_table(
    functions: Callable[[Tensor], Tensor],
    matrix: Tensor,
    cutoff: float,
    degree: int,
    slope_tolerance: float,
    distances: Tensor,
    exact: tuple[Tensor, Tensor],
) -> RadialTable | None:
    def attempt(n_intervals: int) -> RadialTable:
        table = RadialTable(_interpolate(functions, cutoff, degree, n_intervals), cutoff, 0.0, 0.0)
        found = table._value_and_slope(distances)
        errors = [_largest((one - two) @ matrix) for one, two in zip(found, exact, strict=True)]
        return replace(table, value_error=errors[0], slope_error=errors[1])

    limit = slope_tolerance * _largest(exact[1] @ matrix)
    intervals = (*_INTERVALS, *_MORE_INTERVALS)
    best, low, high = None, 0, len(intervals)
    while low < high:
        middle = (low + high) // 2
        table = attempt(intervals[middle])
        if table.slope_error <= limit:
            best, high = table, middle
        else:
            low = middle + 1
    if best is None:
        return None
    return replace(best, coefficients=torch.einsum("ifk,fg->igk", best.coefficients, matrix).contiguous())


def _largest(tensor: Tensor) -> float:
    return float(tensor.abs().max())


def reduce_table(table: RadialTable, slope_tolerance: float, multiple: int) -> tuple[RadialTable, Tensor]:
    """Return a table of few functions that span those of ``table``, and the expansion in them.

    Parameters
    ----------
    slope_tolerance
        Bound on the error of the derivatives, relative to their largest magnitude.
    multiple
        The number of functions is made a multiple of this.

    Returns
    -------
    reduced
        Its errors are those of the expansion, added to those of ``table``.
    expansion
        Shape (n_functions of ``table``, n_functions of ``reduced``).

    Notes
    -----
    Principal components of the values and slopes on a fine grid.
    """
    distances = torch.linspace(0.1 * table.cutoff, table.cutoff * (1.0 - 1e-9), 2003, dtype=torch.float64)
    values, slopes = table._value_and_slope(distances)
    samples = torch.cat([values / values.abs().max(), slopes / slopes.abs().max()])
    _, _, rows = torch.linalg.svd(torch.linalg.qr(samples, mode="r").R, full_matrices=False)
    for count in range(multiple, rows.shape[0] + multiple, multiple):
        expansion = torch.zeros(values.shape[1], count, dtype=torch.float64)
        expansion[:, : rows[:count].shape[0]] = rows[:count].t()
        value_error, slope_error = (_largest((f @ expansion) @ expansion.t() - f) for f in (values, slopes))
        if slope_error <= slope_tolerance * _largest(slopes):
            break
    coefficients = torch.einsum("ifk,fb->ibk", table.coefficients, expansion).contiguous()
    reduced = RadialTable(
        coefficients, table.cutoff, table.value_error + value_error, table.slope_error + slope_error
    )
    return reduced, expansion


def _interpolate(functions: Callable[[Tensor], Tensor], cutoff: float, degree: int, n_intervals: int) -> Tensor:
    nodes = chebyshev.chebpts1(degree + 1)
    width = cutoff / n_intervals
    distances = (np.arange(n_intervals)[:, None] + 0.5 * (nodes + 1.0)) * width
    values = functions(torch.from_numpy(distances.ravel())).detach().numpy()
    values = values.reshape(n_intervals, degree + 1, -1)
    to_power = np.linalg.inv(np.vander(nodes, degree + 1, increasing=True))
    return torch.from_numpy(np.einsum("kn,inf->ifk", to_power, values)).contiguous()
