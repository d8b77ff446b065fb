"""Rotations of features into the frame of an edge, as smooth functions of its vector.

Features are real spherical harmonics of e3nn, whose polar axis is y and whose components of degree 1 are x, y and z.
The frame of an edge has its y axis along the edge. The turn about the edge is free: messages commute with it. This
module takes the smallest rotation to the y axis for edges in the upper half space. Edges in the lower half are first
turned by pi about the x axis. The turn has a jump in the plane y = 0, where both forms are smooth functions of the
vector, so that gradients are right everywhere.
"""

from functools import cache

import torch
from e3nn import o3
from torch import Tensor


def frames(units: Tensor) -> Tensor:
    """Return the rotation of each unit vector to the y axis, shape (n, 3, 3)."""
    sign = torch.where(units[:, 1].detach() < 0.0, -1.0, 1.0).to(units.dtype)
    x, y, z = units[:, 0], units[:, 1] * sign, units[:, 2] * sign
    factor = 1.0 / (1.0 + y)
    mixed = -x * z * factor
    rows = [
        1.0 - x * x * factor, -x * sign, mixed * sign,
        x, y * sign, z * sign,
        mixed, -z * sign, (1.0 - z * z * factor) * sign,
    ]  # fmt: skip
    return torch.stack(rows, dim=1).view(-1, 3, 3)


@cache
def _coupling(degree: int) -> Tensor:
    """Return the isometry from products of degrees 1 and ``degree - 1`` to ``degree``, for both sides of a matrix.

    Shape (9 * (2 degree - 1)^2, (2 degree + 1)^2).
    """
    symbols = o3.wigner_3j(1, degree - 1, degree, dtype=torch.float64) * (2 * degree + 1) ** 0.5
    both = torch.einsum("abm,cdn->acbdmn", symbols, symbols)
    return both.reshape(9 * (2 * degree - 1) ** 2, (2 * degree + 1) ** 2).contiguous()


def couplings(max_degree: int) -> list[Tensor]:
    """Return the constants that ``rotation_matrices`` needs beyond degree 1."""
    return [_coupling(degree) for degree in range(2, max_degree + 1)]


def rotation_matrices(units: Tensor, constants: list[Tensor]) -> list[Tensor]:
    """Return the matrices of degrees 1, 2, ... that rotate features into the frame of each edge.

    Parameters
    ----------
    units
        Unit vectors, shape (n, 3), float64.
    constants
        See ``couplings``.

    Notes
    -----
    Features of degree l are the part of degree l in products of degrees 1 and l - 1, and rotate as these do.
    """
    first = frames(units)
    matrices = [first]
    for degree, coupling in enumerate(constants, start=2):
        products = first.reshape(-1, 9, 1) * matrices[-1].reshape(-1, 1, (2 * degree - 1) ** 2)
        matrices.append((products.flatten(1) @ coupling).view(-1, 2 * degree + 1, 2 * degree + 1))
    return matrices
