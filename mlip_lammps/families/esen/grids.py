"""Grids of directions on which the network of an atom acts point by point."""

import torch
from e3nn import o3
from torch import Tensor

from mlip_lammps.families.reference import default_dtype


def grid_matrices(max_degree: int, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the matrices from coefficients to the points of a grid and back, shape (n_points, n_coefficients)."""
    with default_dtype(torch.float64):  # e3nn rounds the weights of the points to this type
        to_grid = o3.ToS2Grid(max_degree, grid, normalization="integral")
        from_grid = o3.FromS2Grid(grid, max_degree, normalization="integral")
    matrices = [torch.einsum("mbi,am->bai", one.shb, one.sha).flatten(0, 1) for one in (to_grid, from_grid)]
    return matrices[0].contiguous(), matrices[1].contiguous()
