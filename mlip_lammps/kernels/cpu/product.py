"""Matrices in the order in which ``cpu/product.h`` reads them."""

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.simd import n_registers


def panel_widths(n_vectors: int) -> list[int]:
    """Return how many vectors of columns are worked on together, as ``Product`` takes them."""
    widths = []
    for width in (4, 2, 1) if n_registers() >= 32 else (2, 1):
        widths += [width] * (n_vectors // width)
        n_vectors %= width
    return widths


def in_panels(matrix: Tensor, n_lanes: int) -> Tensor:
    """Return a matrix (n_rows, n_columns), n_columns a multiple of ``n_lanes``, panel after panel, flat."""
    widths = [n_lanes * width for width in panel_widths(matrix.shape[1] // n_lanes)]
    return torch.cat([panel.reshape(-1) for panel in matrix.split(widths, dim=1)])
