"""Symmetry functions in plain torch, without tracing: loops depend on the atoms."""

import math
from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.kernels.operators import NoOperators
from mlip_lammps.kernels.symmetry_functions import (
    AngularTerm,
    Falling,
    PowerOfAngle,
    RadialTerm,
    SymmetryFunctions,
    element_pairs,
)
from mlip_lammps.structure.angles import angles_of

_MOST = 1.0 - 1e-15
"""Largest cosine: the angle has no derivative at 0 and 180 degrees."""


class TorchSymmetryFunctions(NoOperators):
    """``SymmetryOperators`` in plain torch: one term after the other."""

    def __init__(self, functions: SymmetryFunctions):
        self._functions = functions
        groups = (group for groups in functions.angular for group in groups)
        self._reach = max((one.term.radial.cutoff.end for group in groups for one in group), default=0.0)

    def sums(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        distances, own = vectors.square().sum(dim=1).sqrt(), centre_species.index_select(0, centre)
        pairs = torch.from_numpy(angles_of(centre.numpy(), vectors.detach().numpy(), self._reach))
        first, second = pairs.unbind(1)
        kinds = torch.stack([source[first], source[second]]).sort(dim=0).values
        kinds_of_pairs = element_pairs(self._functions.n_elements)
        columns = [[] for _ in range(self._functions.n_columns)]
        for e in range(self._functions.n_elements):
            for z, group in enumerate(self._functions.radial[e]):
                edges = torch.nonzero((own == e) & (source == z))[:, 0]
                for one in group:
                    values = one.weight * _radial_value(one.term, distances[edges])
                    columns[one.column].append((centre[edges], values))
            for (a, b), group in zip(kinds_of_pairs, self._functions.angular[e], strict=True):
                angles = torch.nonzero((own[first] == e) & (kinds[0] == a) & (kinds[1] == b))[:, 0]
                one_end, other_end = first[angles], second[angles]
                for one in group:
                    values = one.weight * _angular_value(one.term, vectors[one_end], vectors[other_end])
                    columns[one.column].append((centre[one_end], values))
        zeros = vectors.new_zeros(len(centre_species))
        sums = []
        for parts in columns:
            total = zeros
            for atoms, values in parts:
                total = total.index_add(0, atoms, values)
            sums.append(total)
        return torch.stack(sums, dim=1)


def _radial_value(term: RadialTerm, distances: Tensor) -> Tensor:
    return _falling_value(term.cutoff, distances) * torch.exp(-term.eta * (distances - term.shift).square())


def _angular_value(term: AngularTerm, one: Tensor, other: Tensor) -> Tensor:
    r, s = (vectors.square().sum(dim=1).sqrt() for vectors in (one, other))
    radial = term.radial
    if term.over == "mean":
        values = torch.exp(-radial.eta * (0.5 * (r + s) - radial.shift).square())
        values = values * _falling_value(radial.cutoff, r) * _falling_value(radial.cutoff, s)
    else:
        values = _radial_value(radial, r) * _radial_value(radial, s)
    if term.over == "all":
        values = values * _radial_value(radial, (other - one).square().sum(dim=1).sqrt())
    cosines, angle = (one * other).sum(dim=1) / (r * s), term.angle
    if isinstance(angle, Falling):
        return values * _falling_value(angle, torch.acos(cosines.clamp(-_MOST, _MOST)))
    return values * _power_value(angle, cosines)


def _power_value(power: PowerOfAngle, cosines: Tensor) -> Tensor:
    base = power.constant + power.cosine * cosines
    if power.sine:
        base = base + power.sine * (1.0 - (power.shrink * cosines).square()).sqrt()
    return power.scale * base.clamp(min=0.0) ** power.zeta


def _falling_value(function: Falling, t: Tensor) -> Tensor:
    x = (t - function.origin) / function.width
    x = (x.abs() if function.is_even else x.clamp(min=0.0)).clamp(max=1.0)
    if function.is_skewed:
        x = (2.0 - x) * x
    if function.form == "smooth":
        rest = (1.0 - x**function.order).clamp(min=function.floor)
        return function.scale * torch.exp(1.0 - 1.0 / rest)
    return function.scale * _FORMS[function.form](x)


_FORMS = {
    "cos": lambda x: 0.5 * (torch.cos(math.pi * x) + 1.0),
    "tanh": lambda x: torch.tanh(1.0 - x) ** 3,
    "poly1": lambda x: (2.0 * x - 3.0) * x * x + 1.0,
    "poly2": lambda x: ((15.0 - 6.0 * x) * x - 10.0) * x * x * x + 1.0,
    "poly3": lambda x: (x * (x * (20.0 * x - 70.0) + 84.0) - 35.0) * x**4 + 1.0,
    "poly4": lambda x: (x * (x * ((315.0 - 70.0 * x) * x - 540.0) + 420.0) - 126.0) * x**5 + 1.0,
    "biweight": lambda x: (1.0 - x * x) ** 2,
    "triweight": lambda x: (1.0 - x * x) ** 3,
}


def make_operators(functions: SymmetryFunctions, scratch: Path) -> TorchSymmetryFunctions:
    """Return the operators."""
    return TorchSymmetryFunctions(functions)
