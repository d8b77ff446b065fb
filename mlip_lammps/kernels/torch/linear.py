"""Linear maps between irreps: one matrix per irrep, shared by all m."""

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import LinearBlock


def irrep_linear(
    features: Tensor, blocks: tuple[LinearBlock, ...], n_components_out: int, species: Tensor | None = None
) -> Tensor:
    """Return the mapped features, shape (n_atoms, n_components_out, n_channels_out); zero for outputs without a block.

    Parameters
    ----------
    features
        Input features, shape (n_atoms, n_components_in, n_channels).
    species
        Species, shape (n_atoms,); selects the matrix of each atom in blocks that have an element axis. None if there is
        one atom of each species, in order.
    """
    n_channels = features.shape[2]
    n_channels_out = blocks[0].matrix.shape[-1]
    pieces: list[Tensor] = []
    reached = 0
    for block in sorted(blocks, key=lambda b: b.out_start):
        if block.out_start > reached:
            pieces.append(features.new_zeros((features.shape[0], block.out_start - reached, n_channels_out)))
        source = features[:, block.in_start : block.in_start + block.dim * block.in_copies]
        source = source.reshape(-1, block.dim, block.in_copies * n_channels)
        pieces.append(_apply(source, block.matrix, species))
        reached = block.out_start + block.dim
    if reached < n_components_out:
        pieces.append(features.new_zeros((features.shape[0], n_components_out - reached, n_channels_out)))
    return torch.cat(pieces, dim=1)


def _apply(source: Tensor, matrix: Tensor, species: Tensor | None) -> Tensor:
    """Return source (n, dim, k) times matrix (k, l) as one matrix product."""
    n_atoms, dim, _ = source.shape
    rows = source.reshape(n_atoms * dim, -1)
    if matrix.ndim == 2:
        return (rows @ matrix).view(n_atoms, dim, -1)
    if species is None:
        return torch.bmm(source, matrix)
    result = None
    for element in range(matrix.shape[0]):
        mapped = (rows @ matrix[element]).view(n_atoms, dim, -1)
        mapped = mapped * (species == element).to(source.dtype)[:, None, None]
        result = mapped if result is None else result + mapped
    return result
