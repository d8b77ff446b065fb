"""What global inputs, such as the total charge, add to the features before the first layer."""

import torch
from torch import Tensor

from mlip_lammps.kernels.global_embedding import GlobalEmbedding, GlobalNetwork, GlobalTable


def global_features(embedding: GlobalEmbedding, values: Tensor) -> Tensor:
    """Return the added features, shape (1, n_channels), float64.

    Parameters
    ----------
    values
        Global inputs, shape (n_inputs,), float64. Whole numbers must have a row in their table.
    """
    parts = [_part(one, values.narrow(0, number, 1)) for number, one in enumerate(embedding.inputs)]
    return torch.nn.functional.silu(torch.stack(parts).sum(dim=0))


def _part(one: GlobalTable | GlobalNetwork, value: Tensor) -> Tensor:
    if isinstance(one, GlobalTable):
        return one.rows.index_select(0, value.to(torch.int64) + one.offset)
    hidden = value.unsqueeze(1) @ one.matrices[0] + one.biases[0]
    return torch.nn.functional.silu(hidden) @ one.matrices[1] + one.biases[1]
