"""Radial functions and core repulsion of the PACE library: formulas, and the splines from which it takes values.

The library evaluates the formulas at equally spaced distances and interpolates with cubic polynomials that have the
right values and slopes there. The splines, not the formulas, are the potential that users know.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlip_lammps.families.ace.spec import AceSpec, BondSpec
from mlip_lammps.kernels.expansion import CubicSplines

Functions = Callable[[Tensor], Tensor]
"""From distances (n,) in angstrom to values (n, n_functions)."""

_COULOMB = 14.399645351950543
"""e^2 / (4 pi epsilon_0) in eV angstrom, as in the library."""
_ZBL = ((0.18175, -3.19980), (0.50986, -0.94229), (0.28022, -0.40290), (0.02817, -0.20162))
_FAR = 50.0
"""Exponent from which on the core repulsion is zero."""


def falling(values: Tensor, end: float | Tensor, width: float | Tensor) -> Tensor:
    """Return a polynomial that falls from 1 at ``end - width`` to 0 at ``end``; a step for a width of 0."""
    end, width = (torch.as_tensor(one, dtype=values.dtype) for one in (end, width))
    has_width = width > 0.0
    place = (values - end) / torch.where(has_width, width, 1.0)
    x = 1.0 - 2.0 * (1.0 + place.clamp(-1.0, 0.0))
    smooth = 0.5 + 3.75 * (x / 4.0 - x**3 / 6.0 + x**5 / 20.0)
    return torch.where(has_width, smooth, (values < end).to(values.dtype))


def base_functions(spec: AceSpec, bond: BondSpec, distances: Tensor) -> Tensor:
    """Return the functions g_k at ``distances`` (n,) in angstrom, shape (n, n_base)."""
    start, end = _range(spec, bond)
    is_inside = (distances > start) & (distances < end)
    r = torch.where(is_inside, distances, 0.5 * bond.cutoff)
    values = _BASES[bond.basis](bond, r, spec.n_base)
    if spec.inner_cutoff == "distance":
        values = values * (1.0 - falling(r, bond.inner_cutoff, bond.inner_width))[:, None]
    return torch.where(is_inside[:, None], values, 0.0)


def _range(spec: AceSpec, bond: BondSpec) -> tuple[float, float]:
    """Return the distances between which functions are not zero; with ZBL the library ignores the inner cutoff."""
    start = -bond.inner_width if spec.inner_cutoff == "zbl" else bond.inner_cutoff - bond.inner_width
    return start, bond.cutoff


def core_repulsion(spec: AceSpec, row: int, column: int, distances: Tensor) -> Tensor:
    """Return half the core repulsion of a pair of elements at ``distances`` (n,) in eV, shape (n,)."""
    bond = spec.bonds[row][column]
    if spec.inner_cutoff == "zbl":
        return _zbl(spec.atomic_numbers[row], spec.atomic_numbers[column], bond, distances)
    exponent = abs(bond.core_decay) * distances.square()
    is_inside = exponent < _FAR
    r = torch.where(is_inside, distances, 1.0)
    values = abs(bond.core_prefactor) * torch.exp(-abs(bond.core_decay) * r.square()) / r * _cosine(r, bond.cutoff)
    if spec.inner_cutoff == "distance":
        values = values * falling(r, bond.inner_cutoff, bond.inner_width)
    return torch.where(is_inside, values, 0.0)


def _zbl(number_i: int, number_j: int, bond: BondSpec, distances: Tensor) -> Tensor:
    length = 0.46850 / (number_i**0.23 + number_j**0.23)
    end, width = bond.cutoff, bond.cutoff_width
    start = end - width
    is_inside = distances < end
    r = torch.where(is_inside, distances, 0.5 * end)

    def screened(x):
        return sum(c * torch.exp(d * x / length) for c, d in _ZBL) / x

    at_end = torch.tensor(end, dtype=torch.float64)
    slope = torch.func.grad(screened)
    e, de, d2e = float(screened(at_end)), float(slope(at_end)), float(torch.func.grad(slope)(at_end))
    a = (-3.0 * de + width * d2e) / width**2
    b = (2.0 * de - width * d2e) / width**3
    c = -e + 0.5 * width * de - width**2 * d2e / 12.0
    beyond = (r - start).clamp(min=0.0)
    shift = a / 3.0 * beyond**3 + b / 4.0 * beyond**4 + c
    strength = bond.core_prefactor * _COULOMB / 2.0 * number_i * number_j
    values = strength * (screened(r) + shift) * falling(r, end, width)
    return torch.where(is_inside, values, 0.0)


def _cosine(r: Tensor, end: float) -> Tensor:
    return 0.5 * (1.0 + torch.cos(math.pi / end * r))


def _chebyshev(x: Tensor, n: int) -> list[Tensor]:
    """Return T_0 ... T_n."""
    found = [torch.ones_like(x), x]
    for _ in range(n - 1):
        found.append(2.0 * x * found[-1] - found[-2])
    return found[: n + 1]


def _cheb_exp_cos(bond: BondSpec, r: Tensor, n: int) -> Tensor:
    lowest = math.exp(-bond.parameter)
    x = 1.0 - 2.0 * (torch.exp(-bond.parameter / bond.cutoff * r) - lowest) / (1.0 - lowest)
    polynomials = _chebyshev(x, n)
    values = torch.stack([polynomials[0], *(0.5 - 0.5 * one for one in polynomials[1:n])], dim=1)
    envelope = _cosine(r, bond.cutoff)
    start = bond.cutoff - bond.cutoff_width
    if bond.cutoff_width > 0.0:
        envelope = envelope * torch.where(r > start, _cosine((r - start).clamp(min=0.0), bond.cutoff_width), 1.0)
    return values * envelope[:, None]


def _cheb_pow(bond: BondSpec, r: Tensor, n: int) -> Tensor:
    x = 1.0 - 2.0 * (1.0 - r / bond.cutoff) ** bond.parameter
    return torch.stack([0.5 - 0.5 * one for one in _chebyshev(x, n)[1:]], dim=1)


def _cheb_linear(bond: BondSpec, r: Tensor, n: int) -> Tensor:
    return torch.stack([0.5 - 0.5 * one for one in _chebyshev(1.0 - r / bond.cutoff, n)[1:]], dim=1)


def _bessel(bond: BondSpec, r: Tensor, n: int) -> Tensor:
    end = bond.cutoff

    def one(k: int) -> Tensor:
        a, b = k + 1, k + 2
        norm = (-1) ** k * math.sqrt(2.0) * math.pi / end**1.5 * a * b / math.hypot(a, b)
        return norm * (torch.sinc(a / end * r) + torch.sinc(b / end * r))

    values, before = [one(0)], 1.0
    for k in range(1, n):
        e = k**2 * (k + 2) ** 2 / (4.0 * (k + 1) ** 4 + 1.0)
        d = 1.0 - e / before
        values.append((one(k) + math.sqrt(e / before) * values[-1]) / math.sqrt(d))
        before = d
    return torch.stack(values, dim=1)


_BASES = {"ChebExpCos": _cheb_exp_cos, "ChebPow": _cheb_pow, "ChebLinear": _cheb_linear, "SBessel": _bessel}


def radial_splines(spec: AceSpec, rows: Sequence[int]) -> CubicSplines:
    """Return the splines of g_k for the elements ``rows`` of a potential."""

    def functions(i: int, j: int) -> Functions:
        return lambda r: base_functions(spec, spec.bonds[i][j], r)

    return _splines(spec, rows, functions)


def core_splines(spec: AceSpec, rows: Sequence[int]) -> CubicSplines | None:
    """Return the splines of the core repulsion; None if there is none."""
    if not any(spec.bonds[i][j].core_prefactor for i in rows for j in rows):
        return None

    def functions(i: int, j: int) -> Functions:
        return lambda r: core_repulsion(spec, i, j, r)[:, None]

    return _splines(spec, rows, functions)


def _splines(spec: AceSpec, rows: Sequence[int], functions: Callable[[int, int], Functions]) -> CubicSplines:
    values, slopes, cutoffs = [], [], []
    for i in rows:
        for j in rows:
            cutoff = spec.bonds[i][j].cutoff
            # in the same steps as the library, so that the last point is on the same side of the cutoff
            count = int(cutoff / spec.spline_width)
            step = 1.0 / (count / cutoff)
            distances = step * torch.arange(1, count + 1, dtype=torch.float64)
            value, slope = torch.func.jvp(functions(i, j), (distances,), (torch.ones_like(distances),))
            at_zero = torch.zeros_like(value[:1])
            values.append(torch.cat([at_zero, value]))
            slopes.append(torch.cat([at_zero, slope * step]))
            cutoffs.append(cutoff)
    return CubicSplines(values, slopes, cutoffs)
