"""Terms of ANI potentials as the kernels take them."""

import math

from mlip_lammps.families.ani.spec import AniSpec
from mlip_lammps.families.ani.terms import COSINE_FACTOR
from mlip_lammps.kernels.symmetry_functions import (
    AngularTerm,
    Falling,
    PowerOfAngle,
    RadialTerm,
    SymmetryFunctions,
    WeightedTerm,
    element_pairs,
)


def lowered_terms(spec: AniSpec, n_elements: int) -> SymmetryFunctions:
    """Return the terms in the order of the networks' inputs, for a number of elements; they are the same for all."""
    radial, angular, n_pairs = _radial(spec), _angular(spec), len(element_pairs(n_elements))
    first = n_elements * len(radial)
    of_neighbours = [_placed(radial, k * len(radial), 0.25) for k in range(n_elements)]
    of_pairs = [_placed(angular, first + k * len(angular), 1.0) for k in range(n_pairs)]
    n_columns = first + n_pairs * len(angular)
    return SymmetryFunctions(n_columns, [of_neighbours] * n_elements, [of_pairs] * n_elements)


def _placed(terms: list, first: int, weight: float) -> list[WeightedTerm]:
    return [WeightedTerm(term, first + k, weight) for k, term in enumerate(terms)]


def _radial(spec: AniSpec) -> list[RadialTerm]:
    terms = spec.radial
    return [RadialTerm(_cutoff(spec, terms.cutoff), terms.eta, shift) for shift in terms.shifts]


def _angular(spec: AniSpec) -> list[AngularTerm]:
    terms, cutoff = spec.angular, _cutoff(spec, spec.angular.cutoff)
    angles = [
        PowerOfAngle(
            0.5,
            0.5 * math.cos(section) * COSINE_FACTOR,
            terms.zeta,
            2.0,
            sine=0.5 * math.sin(section),
            shrink=COSINE_FACTOR,
        )
        for section in terms.sections
    ]
    radial = [RadialTerm(cutoff, terms.eta, shift) for shift in terms.shifts]
    return [AngularTerm(one, "mean", angle) for one in radial for angle in angles]


def _cutoff(spec: AniSpec, cutoff: float) -> Falling:
    function = spec.cutoff_function
    if function.form == "smooth":
        return Falling("smooth", 0.0, cutoff, order=function.order, floor=function.floor)
    return Falling("cos" if function.form == "cosine" else function.form, 0.0, cutoff)
