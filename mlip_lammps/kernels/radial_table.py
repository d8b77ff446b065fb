"""Radial weights as piecewise polynomials of the distance, in place of an MLP for every edge."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from numpy.polynomial import chebyshev
from torch import Tensor

from mlip_lammps.core.errors import TableError

DEGREES = (5, 7, 9)
"""Of the polynomials of CPU tables, to choose from."""
_INTERVALS = (16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512)
_MORE_INTERVALS = (640, 768, 1024, 1280, 1536, 2048, 2560, 3072, 4096)
"""For steep radial functions and for the low degrees of GPU tables; doubled from here on."""
_LEAST_GAIN = 2.0
"""Factor by which the error falls when intervals are halved: 2^degree for smooth functions; near 1, or below, where a
function has a kink or the rounding of the coefficients limits the slopes."""
_CACHED_BYTES = 640 << 10
_ERROR_POINTS = 3001
_POINTS_PER_INTERVAL = 5
_ROWS_TOGETHER = 128
_MOST_PARTS = 512
"""Largest denominator of a kink's distance as a fraction of the cutoff."""


@dataclass(frozen=True)
class RadialTable:
    """Polynomials on equal intervals between 0 and the cutoff.

    Attributes
    ----------
    coefficients
        Of t^k with t from -1 to 1 across the interval, shape (n_tables * n_intervals, n_functions, degree + 1),
        float64.
    cutoff
        Angstrom; beyond it every function is zero.
    value_error, slope_error
        Largest errors of a function and of its derivative (1/angstrom) found between the nodes.
    n_tables
        Sets of the functions, one after the other: their values depend on the pair of elements.
    """

    coefficients: Tensor
    cutoff: float
    value_error: float
    slope_error: float
    n_tables: int = 1

    @property
    def n_intervals(self) -> int:
        return self.coefficients.shape[0] // self.n_tables

    @property
    def degree(self) -> int:
        return self.coefficients.shape[2] - 1

    def evaluate(self, distances: Tensor, tables: Tensor | None = None) -> Tensor:
        """Return the functions of the sets ``tables`` (n,) at ``distances`` (n,), shape (n, n_functions)."""
        value, _ = self._value_and_slope(distances, tables)
        return torch.where((distances < self.cutoff).unsqueeze(1), value, torch.zeros_like(value))

    def _value_and_slope(self, distances: Tensor, tables: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the functions and their derivatives, below the cutoff."""
        place = distances / self.cutoff * self.n_intervals
        interval = place.detach().floor().clamp(0, self.n_intervals - 1).to(torch.int64)
        t = 2.0 * (place - interval) - 1.0
        if tables is not None:
            interval = interval + tables * self.n_intervals
        coefficients = self.coefficients.index_select(0, interval)
        value, slope = coefficients[:, :, -1], torch.zeros_like(coefficients[:, :, -1])
        for k in range(self.degree - 1, -1, -1):
            slope = slope * t.unsqueeze(1) + value
            value = value * t.unsqueeze(1) + coefficients[:, :, k]
        return value, slope * (2.0 * self.n_intervals / self.cutoff)


def tabulate(
    functions: Callable[[Tensor], Tensor] | Sequence[Callable[[Tensor], Tensor]],
    matrix: Tensor,
    cutoff: float,
    slope_tolerance: float,
    value_bytes: int = 8,
    degrees: Sequence[int] = DEGREES,
    kinks: Sequence[float] = (),
) -> RadialTable:
    """Interpolate ``functions(r) @ matrix`` at Chebyshev nodes, as finely as the tolerance asks for.

    Parameters
    ----------
    functions
        Takes distances (n,) and returns (n, n_hidden), float64: few functions, which are cheap to try tables of. A
        sequence gives several sets of functions with the same intervals.
    matrix
        Shape (n_hidden, n_functions), float64.
    slope_tolerance
        Bound on the error of the derivatives, relative to their largest magnitude.
    value_bytes
        Of a number of the table where it is used.
    degrees
        Of the polynomials, to choose from.
    kinks
        Distances at which a derivative of the functions jumps; they become ends of intervals.

    Raises
    ------
    TableError
        If finer tables no longer reduce the error.

    Notes
    -----
    The lowest degree whose table stays near (640 kB, about a second cache level), else the smallest table.
    Errors are measured between the nodes, the ends of intervals among them; the shortest distances, below 0.1 of the
    cutoff, are not: no two atoms come so close, and the basis functions vary most there.
    """
    sets = [functions] if callable(functions) else list(functions)
    table = hidden_table(sets, matrix, cutoff, slope_tolerance, value_bytes, degrees, kinks)
    return replace(table, coefficients=torch.einsum("ifk,fg->igk", table.coefficients, matrix).contiguous())


def hidden_table(
    sets: Sequence[Callable[[Tensor], Tensor]],
    matrix: Tensor,
    cutoff: float,
    slope_tolerance: float,
    value_bytes: int = 8,
    degrees: Sequence[int] = DEGREES,
    kinks: Sequence[float] = (),
) -> RadialTable:
    """Return the table of ``tabulate`` for several sets of functions, before their product with ``matrix``.

    The errors are those after the product.
    """
    networks = [_Network(number, one, matrix, cutoff) for number, one in enumerate(sets)]
    tables, failures = [], []
    for degree in degrees:
        try:
            table = _coarsest_table(networks, degree, slope_tolerance, _interval_multiple(kinks, cutoff))
        except TableError as error:
            failures.append(error)
            continue
        tables.append(table)
        if len(table.coefficients) * (degree + 1) * matrix.shape[1] * value_bytes <= _CACHED_BYTES:
            break
    if not tables:
        raise failures[-1]
    return min(tables, key=lambda table: table.coefficients.numel())


class _Network:
    """Radial functions to interpolate: values and slopes of ``functions(r) @ matrix`` to compare tables with."""

    def __init__(self, number: int, functions: Callable[[Tensor], Tensor], matrix: Tensor, cutoff: float):
        self.number = number
        self.functions, self.matrix, self.cutoff = functions, matrix, cutoff
        self._longest_column = float(matrix.norm(dim=0).max())
        self._samples: dict[int, tuple[Tensor, tuple[Tensor, Tensor]]] = {}

    def largest_slope(self) -> float:
        """Return the largest slope; at least the largest value over the cutoff, for functions that hardly vary."""
        _, (values, slopes) = self.samples(1)
        return max(self._largest_product(slopes)[0], self._largest_product(values)[0] / self.cutoff)

    def samples(self, n_intervals: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return distances with some points in each interval, and values and slopes of ``functions`` there."""
        n_points = max(_ERROR_POINTS, _POINTS_PER_INTERVAL * n_intervals + 1)
        if n_points not in self._samples:
            distances = torch.linspace(0.1 * self.cutoff, self.cutoff * (1.0 - 1e-9), n_points, dtype=torch.float64)
            exact = torch.func.jvp(self.functions, (distances,), (torch.ones_like(distances),))
            self._samples[n_points] = distances, exact
        return self._samples[n_points]

    def table(self, degree: int, n_intervals: int) -> tuple[RadialTable, float]:
        """Return a table of ``functions`` with its errors, and the distance where its slope is worst."""
        table = RadialTable(_interpolate(self.functions, self.cutoff, degree, n_intervals), self.cutoff, 0.0, 0.0)
        distances, exact = self.samples(n_intervals)
        found = table._value_and_slope(distances)
        (value, _), (slope, row) = (self._largest_product(one - two) for one, two in zip(found, exact, strict=True))
        return replace(table, value_error=value, slope_error=slope), float(distances[row])

    def _largest_product(self, rows: Tensor) -> tuple[float, int]:
        """Return the largest magnitude in ``rows @ matrix`` and its row.

        Rows are taken from the longest on, until the lengths of the others exclude a larger value.
        """
        lengths, order = rows.norm(dim=1).sort(descending=True)
        largest, found = 0.0, int(order[0])
        for start in range(0, len(rows), _ROWS_TOGETHER):
            if float(lengths[start]) * self._longest_column <= largest:
                break
            taken = order[start : start + _ROWS_TOGETHER]
            products = (rows[taken] @ self.matrix).abs().amax(1)
            if float(products.max()) > largest:
                largest, found = float(products.max()), int(taken[products.argmax()])
        return largest, found


def _table_of_all(networks: list[_Network], degree: int, n_intervals: int, limit: float) -> tuple[RadialTable, float]:
    """Return the tables of all networks as one, or that of the first one with a larger error than ``limit``.

    The network that fails moves to the front: it is the first to try next time.
    """
    found = {}
    for network in list(networks):
        table, worst = found[network] = network.table(degree, n_intervals)
        if table.slope_error > limit:
            networks.remove(network)
            networks.insert(0, network)
            return table, worst
    tables = [found[network][0] for network in sorted(found, key=lambda network: network.number)]
    joined = RadialTable(
        torch.cat([table.coefficients for table in tables]),
        tables[0].cutoff,
        max(table.value_error for table in tables),
        max(table.slope_error for table in tables),
        len(tables),
    )
    return joined, 0.0


def _interval_multiple(kinks: Sequence[float], cutoff: float) -> int:
    """Return the number of which the intervals must be a multiple for each kink to be the end of one.

    Raises
    ------
    TableError
        If no small number has this property.
    """
    multiple = 1
    for kink in kinks:
        part = Fraction(kink / cutoff).limit_denominator(_MOST_PARTS)
        if abs(float(part) - kink / cutoff) > 1e-12:
            raise TableError(
                f"the radial functions change at {kink} angstrom, which is no simple fraction of the cutoff {cutoff} "
                "angstrom, so that no table has an interval that ends there; export with --radial exact"
            )
        multiple = math.lcm(multiple, part.denominator)
    return multiple


def _coarsest_table(
    networks: list[_Network], degree: int, slope_tolerance: float, multiple: int = 1
) -> RadialTable:
    limit = slope_tolerance * max(network.largest_slope() for network in networks)
    intervals = sorted({-(-count // multiple) * multiple for count in (*_INTERVALS, *_MORE_INTERVALS)})
    best, low, high = None, 0, len(intervals)
    while low < high:
        middle = (low + high) // 2
        table, worst = _table_of_all(networks, degree, intervals[middle], limit)
        if table.slope_error <= limit:
            best, high = table, middle
        else:
            low = middle + 1
    while best is None:
        # ``table`` is the finest so far
        finer, at = _table_of_all(networks, degree, 2 * table.n_intervals, limit)
        if finer.slope_error <= limit:
            best = finer
        elif not finer.slope_error * _LEAST_GAIN < table.slope_error:
            raise TableError(
                f"no table of radial functions has slopes right to {limit:.1e} per angstrom: the error is "
                f"{table.slope_error:.1e} at {worst:.3f} angstrom with {table.n_intervals:,} intervals of degree "
                f"{degree} and {finer.slope_error:.1e} with twice as many, so the functions are not smooth or rounding "
                "is the limit; export with --radial exact"
            )
        table, worst = finer, at
    return best


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
    every = torch.arange(table.n_tables).repeat_interleave(len(distances))
    values, slopes = table._value_and_slope(distances.repeat(table.n_tables), every)
    samples = torch.cat([f / (_largest(f) or 1.0) for f in (values, slopes)])  # functions may be zero
    _, _, rows = torch.linalg.svd(torch.linalg.qr(samples, mode="r").R, full_matrices=False)
    for count in range(multiple, rows.shape[0] + multiple, multiple):
        expansion = torch.zeros(values.shape[1], count, dtype=torch.float64)
        expansion[:, : rows[:count].shape[0]] = rows[:count].t()
        value_error, slope_error = (_largest((f @ expansion) @ expansion.t() - f) for f in (values, slopes))
        if slope_error <= slope_tolerance * _largest(slopes):
            break
    coefficients = torch.einsum("ifk,fb->ibk", table.coefficients, expansion).contiguous()
    errors = {"value_error": table.value_error + value_error, "slope_error": table.slope_error + slope_error}
    reduced = replace(table, coefficients=coefficients, **errors)
    return reduced, expansion


def interpolation_nodes(cutoff: float, degree: int, n_intervals: int) -> tuple[Tensor, Tensor]:
    """Return where functions are interpolated, and the matrix from their values there to coefficients.

    Returns
    -------
    distances
        In angstrom, shape (n_intervals, degree + 1): Chebyshev nodes of each interval.
    to_power
        Shape (degree + 1, degree + 1): coefficient of t^k from the value at each node.
    """
    nodes = chebyshev.chebpts1(degree + 1)
    distances = (np.arange(n_intervals)[:, None] + 0.5 * (nodes + 1.0)) * (cutoff / n_intervals)
    to_power = np.linalg.inv(np.vander(nodes, degree + 1, increasing=True))
    return torch.from_numpy(distances), torch.from_numpy(to_power)


def _interpolate(functions: Callable[[Tensor], Tensor], cutoff: float, degree: int, n_intervals: int) -> Tensor:
    distances, to_power = interpolation_nodes(cutoff, degree, n_intervals)
    values = functions(distances.reshape(-1)).detach().view(n_intervals, degree + 1, -1)
    return torch.einsum("kn,inf->ifk", to_power, values).contiguous()
