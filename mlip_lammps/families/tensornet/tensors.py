"""Tensors of rank 2 as nine components: identity, skew and symmetric traceless part, and products of them.

Components are those in an orthonormal basis of matrices, so that the sum of their squares is that of the elements. The
three parts transform as the spherical harmonics of order 0, 1 and 2, in the order of
``kernels/torch/spherical_harmonics.py``.
"""

import math

import torch
from torch import Tensor

from mlip_lammps.kernels.torch.spherical_harmonics import raising_terms

PARTS = (slice(0, 1), slice(1, 4), slice(4, 9))
"""Components of the identity, the skew and the symmetric traceless part."""
N_COMPONENTS = 9
DIRECTION_FACTORS = (math.sqrt(3.0), math.sqrt(2.0 / 3.0), math.sqrt(2.0 / 15.0))
"""Factors from the spherical harmonics of a unit vector v to the parts of 1 + skew(v) + (v v^T - 1 / 3)."""


def basis_matrices() -> Tensor:
    """Return the basis, shape (9, 3, 3), float64."""
    matrices = [torch.eye(3, dtype=torch.float64)]
    for k in range(3):
        # skew(v) w = v x w
        skew = torch.zeros(3, 3, dtype=torch.float64)
        skew[(k + 2) % 3, (k + 1) % 3], skew[(k + 1) % 3, (k + 2) % 3] = 1.0, -1.0
        matrices.append(skew)
    for terms in raising_terms(1):
        form = torch.zeros(3, 3, dtype=torch.float64)
        for a, b, coefficient in terms:
            form[a, b] += coefficient
        matrices.append(form + form.T)
    return torch.stack([matrix / matrix.norm() for matrix in matrices])


_BASIS = basis_matrices()
_TERMS = [
    [[(c, float(_BASIS[c, row, column])) for c in range(N_COMPONENTS) if abs(_BASIS[c, row, column]) > 1e-14]
     for column in range(3)]
    for row in range(3)
]  # fmt: skip
"""Components of each matrix element with their factors."""


def matrix_product(left: Tensor, right: Tensor) -> Tensor:
    """Return the products of matrices; all of shape (n, 9, n_channels)."""
    return _components(_product(_elements(left), _elements(right)))


def symmetric_product(left: Tensor, right: Tensor) -> Tensor:
    """Return left right + right left, see ``matrix_product``."""
    left, right = _elements(left), _elements(right)
    one, two = _product(left, right), _product(right, left)
    return _components([[one[i][j] + two[i][j] for j in range(3)] for i in range(3)])


def part_norms(tensors: Tensor) -> Tensor:
    """Return the sums of squares of each part, shape (n, 3, n_channels)."""
    squares = tensors.square()
    return torch.stack([squares[:, part].sum(dim=1) for part in PARTS], dim=1)


def total_norms(tensors: Tensor) -> Tensor:
    """Return the sums of squares of all components, shape (n, 1, n_channels)."""
    return tensors.square().sum(dim=1, keepdim=True)


def scaled_parts(tensors: Tensor, factors: Tensor) -> Tensor:
    """Return tensors whose parts are multiplied by ``factors``, shape (n, 3, n_channels)."""
    parts = [tensors[:, part] * factors[:, k : k + 1] for k, part in enumerate(PARTS)]
    return torch.cat(parts, dim=1)


Matrix = list[list[Tensor]]


def _elements(tensors: Tensor) -> Matrix:
    columns = tensors.unbind(1)
    return [[sum(factor * columns[c] for c, factor in terms) for terms in row] for row in _TERMS]


def _product(left: Matrix, right: Matrix) -> Matrix:
    return [[sum(left[i][k] * right[k][j] for k in range(3)) for j in range(3)] for i in range(3)]


def _components(elements: Matrix) -> Tensor:
    sums: list[list[Tensor]] = [[] for _ in range(N_COMPONENTS)]
    for i, row in enumerate(_TERMS):
        for j, terms in enumerate(row):
            for c, factor in terms:
                sums[c].append(factor * elements[i][j])
    return torch.stack([sum(terms) for terms in sums], dim=1)
