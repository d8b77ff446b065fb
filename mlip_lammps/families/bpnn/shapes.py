"""Shapes of symmetry functions as torch functions.

All of them are zero with a zero gradient where they should vanish: beyond the cutoff, and outside a compact support.
"""

import math

import torch
from torch import Tensor

from mlip_lammps.families.bpnn.spec import AngularShape, RadialShape

TANH_SCALE = (1.0 / math.tanh(1.0)) ** 3
"""Factor of the cutoff function tanh, which makes it one at distance zero."""
_NEARLY_ONE = 1.0 - 1e-15
"""Largest cosine: the angle has no derivative at 0 and 180 degrees."""


def radial_value(shape: RadialShape, distances: Tensor) -> Tensor:
    """Return the values of a radial shape; distances in the length unit of the file."""
    if shape.kind == "gaussian":
        return torch.exp(-shape.eta * (distances - shape.shift) ** 2) * edge_factor(shape, distances)
    return edge_factor(shape, distances)


def edge_factor(shape: RadialShape, distances: Tensor) -> Tensor:
    """Return the values of a radial shape without its Gaussian, of which pairs of neighbours need one for both."""
    if shape.kind == "gaussian":
        return _cutoff_value(shape, distances)
    centre, width = 0.5 * (shape.cutoff + shape.left), 0.5 * (shape.cutoff - shape.left)
    return _compact_value(shape.form, (distances - centre) / width)


def angular_value(shape: AngularShape, cosines: Tensor) -> Tensor:
    """Return the values of an angular shape from the cosines of the angles."""
    if shape.kind == "cosine":
        base = (1.0 + shape.sign * cosines).clamp(min=0.0)
        power = int(shape.zeta) if float(shape.zeta).is_integer() else shape.zeta
        return 2.0 ** (1.0 - shape.zeta) * base**power
    angles = torch.acos(cosines.clamp(-_NEARLY_ONE, _NEARLY_ONE))
    left, right = math.radians(shape.left), math.radians(shape.right)
    return _compact_value(shape.form, (angles - 0.5 * (left + right)) / (0.5 * (right - left)))


def _cutoff_value(shape: RadialShape, distances: Tensor) -> Tensor:
    if shape.form in ("tanh", "tanh_unscaled"):
        value = torch.tanh((1.0 - distances / shape.cutoff).clamp(min=0.0)) ** 3
        return TANH_SCALE * value if shape.form == "tanh" else value
    inner = shape.alpha * shape.cutoff
    return _falling(shape.form, ((distances - inner) / (shape.cutoff - inner)).clamp(0.0, 1.0))


def _compact_value(form: str, x: Tensor) -> Tensor:
    x = x.abs().clamp(max=1.0)
    if form.endswith("a"):
        return _falling(form[:-1], (2.0 - x) * x)
    return _falling(form, x)


def _falling(form: str, x: Tensor) -> Tensor:
    """Return a function that falls from 1 at x = 0 to 0 at x = 1."""
    if form == "cos":
        return 0.5 * (torch.cos(math.pi * x) + 1.0)
    if form == "exp":
        # 1 - x^2 is set to one where the value is zero, so that no gradient is infinite
        rest = 1.0 - x * x
        is_inside = rest > 1e-3  # exp(-1000) is zero
        return torch.where(is_inside, torch.exp(1.0 - 1.0 / torch.where(is_inside, rest, 1.0)), 0.0)
    return _POLYNOMIALS[form](x)


_POLYNOMIALS = {
    "poly1": lambda x: (2.0 * x - 3.0) * x * x + 1.0,
    "poly2": lambda x: ((15.0 - 6.0 * x) * x - 10.0) * x * x * x + 1.0,
    "poly3": lambda x: (x * (x * (20.0 * x - 70.0) + 84.0) - 35.0) * x**4 + 1.0,
    "poly4": lambda x: (x * (x * ((315.0 - 70.0 * x) * x - 540.0) + 420.0) - 126.0) * x**5 + 1.0,
}
