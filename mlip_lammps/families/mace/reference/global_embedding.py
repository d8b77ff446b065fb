"""What global inputs, such as the total charge, add to the features before the first layer."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mlip_lammps.families.mace.embeddings import PROJECTION
from mlip_lammps.families.mace.reference.modules import Weights
from mlip_lammps.families.mace.spec import EmbeddingSpec


class GlobalEmbedding(nn.Module):
    """Joint embedding of mace-torch; see `EmbeddingSpec` for the formula."""

    def __init__(self, embeddings: Sequence[EmbeddingSpec], weights: Weights, dtype: torch.dtype):
        super().__init__()
        self.embeddings = tuple(embeddings)
        self.dtype = dtype
        names = [name for name in weights if name.startswith("joint_embedding.")]
        self.arrays = {name: torch.tensor(np.asarray(weights[name]), dtype=dtype) for name in names}

    def forward(self, values: Sequence[float]) -> Tensor:
        """Return the added features, shape (n_channels,)."""
        parts = [self._part(one, value) for one, value in zip(self.embeddings, values, strict=True)]
        return nn.functional.silu(nn.functional.linear(torch.cat(parts), self.arrays[PROJECTION]))

    def _part(self, one: EmbeddingSpec, value: float) -> Tensor:
        if one.kind == "categorical":
            return self.arrays[f"{one.prefix}.weight"][int(value) + one.offset]
        hidden = torch.tensor([value], dtype=self.dtype)
        for step in (0, 2):
            weight, bias = self.arrays[f"{one.prefix}.{step}.weight"], self.arrays.get(f"{one.prefix}.{step}.bias")
            hidden = nn.functional.linear(nn.functional.silu(hidden) if step else hidden, weight, bias)
        return hidden
