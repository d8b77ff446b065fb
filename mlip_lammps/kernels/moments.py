"""The first layer as moments: its features depend only on the element, so few radial functions per element suffice."""

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import LinearBlock, LoweredLayer
from mlip_lammps.kernels.torch.linear import irrep_linear

# Cost of a multiply-add over edges relative to one in a matrix product, and typical number of neighbours.
_EDGE_COST = 3.0
_TYPICAL_NEIGHBOURS = 40


def moments_are_cheaper(
    layer: LoweredLayer, degree: int, n_functions: int, n_elements: int, n_harmonics: int
) -> bool:
    """Return whether few functions per edge and a larger matrix product cost less than all channels on every edge.

    ``degree`` is that of the table.
    """
    full = len(layer.paths) * (degree + 1) + n_harmonics
    after = n_harmonics * layer.n_edge_channels * layer.n_channels
    direct = _EDGE_COST * _TYPICAL_NEIGHBOURS * full * layer.n_edge_channels + after
    edges = _EDGE_COST * _TYPICAL_NEIGHBOURS * (degree + 1 + n_harmonics) * n_functions
    return edges + n_elements * n_functions * n_harmonics * layer.n_channels < direct


def network_moments_are_cheaper(layer: LoweredLayer, n_functions: int, n_elements: int, n_harmonics: int) -> bool:
    """Do the same where the functions are those of a network before its last matrix."""
    last_matrix = n_functions * len(layer.paths) * layer.n_edge_channels
    full = _EDGE_COST * (len(layer.paths) + n_harmonics) * layer.n_edge_channels
    direct = _TYPICAL_NEIGHBOURS * (last_matrix + full) + n_harmonics * layer.n_edge_channels * layer.n_channels
    edges = _EDGE_COST * _TYPICAL_NEIGHBOURS * n_harmonics * n_functions
    return edges + n_elements * n_functions * n_harmonics * layer.n_channels < direct


def moment_blocks(layer: LoweredLayer, expansion: Tensor) -> tuple[LinearBlock, ...]:
    """Fold element features, radial expansion, coupling and the message map into one matrix per order."""
    n_channels = layer.n_edge_channels
    # (n_elements, n_channels): source features of each element
    sources = irrep_linear(layer.embedding, layer.up, layer.n_components_edge)[:, 0]
    by_path = expansion.view(len(layer.paths), n_channels, -1)
    blocks = []
    for block in layer.message:
        matrix = 0.0
        for number, path in enumerate(layer.paths):
            if path.out_start - block.in_start not in range(block.in_copies) or path.l_out != (block.dim - 1) // 2:
                continue
            copy = path.out_start - block.in_start
            rows = block.matrix[..., copy * n_channels : (copy + 1) * n_channels, :]
            # a scalar times Y_lm is proportional to Y_lm: the coupling is a multiple of the identity
            strength = path.coupling[0, 0, 0]
            part = strength * torch.einsum("zk,kb,...kc->...zbc", sources, by_path[number], rows)
            matrix = matrix + part.flatten(-3, -2)
        order = (block.dim - 1) // 2
        blocks.append(LinearBlock(order**2, 1, block.out_start, block.dim, matrix))
    return tuple(blocks)
