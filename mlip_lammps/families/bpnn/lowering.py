"""Symmetry functions of a potential for some of its elements, as the kernels take them."""

import math
from collections.abc import Sequence

from mlip_lammps.families.bpnn.shapes import TANH_SCALE
from mlip_lammps.families.bpnn.spec import AngularShape, BpnnSpec, RadialShape, SymmetryFunction
from mlip_lammps.kernels.symmetry_functions import (
    AngularTerm,
    Falling,
    PowerOfAngle,
    RadialTerm,
    SymmetryFunctions,
    WeightedTerm,
    element_pairs,
)

_SMALLEST = 1e-3
"""Denominator of the exponent of ``exp`` from which on it is zero, as exp(-999) is."""


def lowered_functions(spec: BpnnSpec, atomic_numbers: Sequence[int]) -> SymmetryFunctions:
    """Return the functions of each element in their order; lengths in the unit of the file."""
    functions = [spec.functions[spec.atomic_numbers.index(number)] for number in atomic_numbers]
    neighbours = [(number,) for number in atomic_numbers]
    pairs = [(atomic_numbers[a], atomic_numbers[b]) for a, b in element_pairs(len(atomic_numbers))]
    radial = [[_terms(some, numbers) for numbers in neighbours] for some in functions]
    angular = [[_terms(some, numbers) for numbers in pairs] for some in functions]
    return SymmetryFunctions(max(map(len, functions)), radial, angular)


def _terms(functions: Sequence[SymmetryFunction], numbers: tuple[int, ...]) -> list[WeightedTerm]:
    """Return the terms of one neighbour, or of a pair of neighbours, of these elements."""
    found = []
    for column, function in enumerate(functions):
        is_angular = function.angular is not None
        if is_angular != (len(numbers) == 2) or function.neighbours not in ((), tuple(sorted(numbers))):
            continue
        term = _radial(function.radial)
        if is_angular:
            term = AngularTerm(term, "all" if function.is_narrow else "ends", _angle(function.angular))
        found.append(WeightedTerm(term, column, 1.0 if function.neighbours else float(math.prod(numbers))))
    return found


def _radial(shape: RadialShape) -> RadialTerm:
    if shape.kind == "compact":
        return RadialTerm(_compact(shape.form, shape.left, shape.cutoff))
    if shape.form in ("tanh", "tanh_unscaled"):
        cutoff = Falling("tanh", 0.0, shape.cutoff, scale=TANH_SCALE if shape.form == "tanh" else 1.0)
    else:
        inner = shape.alpha * shape.cutoff
        cutoff = _falling(shape.form, inner, shape.cutoff - inner)
    return RadialTerm(cutoff, shape.eta, shape.shift if shape.eta > 0.0 else 0.0)


def _angle(shape: AngularShape) -> PowerOfAngle | Falling:
    if shape.kind == "cosine":
        return PowerOfAngle(1.0, shape.sign, shape.zeta, 2.0 ** (1.0 - shape.zeta))
    return _compact(shape.form, math.radians(shape.left), math.radians(shape.right))


def _compact(form: str, left: float, right: float) -> Falling:
    middle, width = 0.5 * (left + right), 0.5 * (right - left)
    return _falling(form.removesuffix("a"), middle, width, is_even=True, is_skewed=form.endswith("a"))


def _falling(form: str, origin: float, width: float, **settings: bool) -> Falling:
    if form == "exp":
        return Falling("smooth", origin, width, floor=_SMALLEST, **settings)
    return Falling(form, origin, width, **settings)
