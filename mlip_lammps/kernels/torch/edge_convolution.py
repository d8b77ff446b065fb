"""Sum over neighbours of features times spherical harmonics times radial weights."""

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import ConvolutionPath


def edge_convolution(
    features: Tensor,
    harmonics: Tensor,
    radial_weights: Tensor,
    edge_centre: Tensor,
    edge_neighbour: Tensor,
    n_local: int,
    paths: tuple[ConvolutionPath, ...],
    n_components_out: int,
) -> Tensor:
    """Return the messages of the centres.

    Parameters
    ----------
    features
        Source features, shape (n_nodes, n_components_in, n_channels).
    harmonics
        Spherical harmonics, shape (n_edges, (l_max + 1)^2).
    radial_weights
        Convolution weights, shape (n_edges, n_paths, n_channels).

    Returns
    -------
    Tensor
        Messages, shape (n_local, n_components_out, n_channels).
    """
    source = features.index_select(0, edge_neighbour)
    columns: list[Tensor | None] = [None] * n_components_out
    for number, path in enumerate(paths):
        dim_in, dim_edge, dim_out = path.coupling.shape
        edge_part = harmonics[:, path.l_edge**2 : path.l_edge**2 + dim_edge]
        matrices = (edge_part @ path.coupling.to(harmonics).permute(1, 2, 0).reshape(dim_edge, -1)).view(
            -1, dim_out, dim_in
        )
        # a sum instead of small matrix products: the compiler fuses it with the following operations
        values = (matrices.unsqueeze(3) * source[:, None, path.in_start : path.in_start + dim_in]).sum(dim=2)
        values = values * radial_weights[:, number].unsqueeze(1)
        for m in range(dim_out):
            columns[path.out_start + m * path.out_stride] = values[:, m]
    messages = torch.stack(columns, dim=1)
    zeros = messages.new_zeros((n_local, n_components_out, features.shape[2]))
    return zeros.index_add(0, edge_centre, messages)
