"""The plan of symmetry functions for the template in ``cpu/symmetry_functions.h``."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.simd import most_lanes
from mlip_lammps.kernels.symmetry_functions import Falling, PowerOfAngle, SymmetryFunctions, WeightedTerm

_FORMS = ("cos", "smooth", "tanh", "poly1", "poly2", "poly3", "poly4", "biweight", "triweight")
_OVER = ("ends", "all", "mean")
_ANY_POWER, _FALLING = -1, -2
"""Exponents of angular functions that are not integers, or no powers."""
_UNLIMITED = 1e150


@dataclass(frozen=True)
class SymmetryShape:
    """Sizes of symmetry functions; the functions are an input of the operator."""

    name: str
    n_elements: int
    n_columns: int

    def source(self) -> str:
        """Return the struct that the template ``SymmetrySums`` takes."""
        return f"""struct {self.name} {{
  static constexpr int N = {most_lanes(torch.float64)}, N_ELEMENTS = {self.n_elements};
  static constexpr int N_COLUMNS = {self.n_columns};
}};
"""


def symmetry_plan(functions: SymmetryFunctions) -> tuple[Tensor, Tensor]:
    """Return the integers and the numbers of the plan."""
    radial = [group for groups in functions.radial for group in groups]
    angular = [group for groups in functions.angular for group in groups]
    of_distances = [one.term.cutoff for group in radial for one in group]
    of_distances = _distinct([*of_distances, *(one.term.radial.cutoff for group in angular for one in group)])
    angles = [one.term.angle for group in angular for one in group]
    falling = _distinct([*of_distances, *(one for one in angles if isinstance(one, Falling))])
    places = {one: k for k, one in enumerate(falling)}
    groups = []
    for of_neighbours, of_pairs in zip(functions.radial, functions.angular, strict=True):
        groups += [_radial_group(group, places) for group in of_neighbours]
        groups += [_angular_group(group, places) for group in of_pairs]
    integers, numbers = [len(falling), len(of_distances)], []
    for one in falling:
        integers += [_FORMS.index(one.form), int(one.is_even), int(one.is_skewed), one.order]
        numbers += [one.origin, 1.0 / one.width, one.scale, one.floor]
    place, number = len(integers) + 2 * len(groups), len(numbers)
    for of_group, numbers_of_group in groups:
        integers += [place, number]
        place, number = place + len(of_group), number + len(numbers_of_group)
    for of_group, numbers_of_group in groups:
        integers += of_group
        numbers += numbers_of_group
    return torch.tensor(integers), torch.tensor(numbers, dtype=torch.float64)


def _radial_group(group: Sequence[WeightedTerm], places: dict[Falling, int]) -> tuple[list[int], list[float]]:
    integers, numbers = [len(group)], []
    for one in group:
        integers += [places[one.term.cutoff], one.column]
        numbers += [one.term.eta, one.term.shift, one.weight]
    return integers, numbers


def _angular_group(group: Sequence[WeightedTerm], places: dict[Falling, int]) -> tuple[list[int], list[float]]:
    classes = _distinct([(one.term.radial.cutoff, one.term.over) for one in group])
    by_class = [_distinct([o.term.radial for o in group if (o.term.radial.cutoff, o.term.over) == c]) for c in classes]
    gaussians = [(radial, c[1]) for c, some in zip(classes, by_class, strict=True) for radial in some]
    angles = _distinct([one.term.angle for one in group])
    powers = [angle for angle in angles if isinstance(angle, PowerOfAngle)]
    shrinks = _distinct([angle.shrink for angle in powers if angle.sine]) or [0.0]
    if len(shrinks) > 1:
        raise ValueError(f"the angles of a group are multiplied by {shrinks}, expected one number")
    reach = max((cutoff.end for cutoff, _ in classes), default=0.0)
    is_narrow = all(over == "all" for _, over in classes)
    has_sine = any(angle.sine for angle in powers)
    integers = [len(classes), len(gaussians), len(angles), len(group)]
    integers += [int(any(over == "all" for _, over in classes)), int(has_sine)]
    numbers = [reach, reach if is_narrow else _UNLIMITED, shrinks[0]]
    for (cutoff, over), some in zip(classes, by_class, strict=True):
        integers += [places[cutoff], _OVER.index(over), len(some)]
        numbers += [number for radial in some for number in (radial.eta, radial.shift)]
    for angle in angles:
        if isinstance(angle, Falling):
            integers += [_FALLING, places[angle]]
            numbers += [0.0] * 5
        else:
            integers += [int(angle.zeta) if float(angle.zeta).is_integer() else _ANY_POWER, 0]
            numbers += [angle.constant, angle.cosine, angle.sine, angle.zeta, angle.scale]
    order = sorted(group, key=lambda one: gaussians.index((one.term.radial, one.term.over)))
    for one in order:
        integers += [gaussians.index((one.term.radial, one.term.over)), angles.index(one.term.angle), one.column]
        numbers.append(one.weight)
    return integers, numbers


def _distinct(items: list) -> list:
    return list(dict.fromkeys(items))
