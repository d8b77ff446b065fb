"""Constants of the joint embedding of global inputs: the projection is folded into the part of each input."""

import torch

from mlip_lammps.families.mace.embeddings import PROJECTION, READOUT
from mlip_lammps.families.mace.lowering.layout import WeightTable
from mlip_lammps.families.mace.spec import EmbeddingSpec
from mlip_lammps.kernels.global_embedding import GlobalEmbedding, GlobalNetwork, GlobalTable


def global_embedding(table: WeightTable) -> GlobalEmbedding | None:
    """Return the constants of a model with global inputs, None for another model."""
    embeddings = table.spec.embeddings
    if not embeddings:
        return None
    projections = table[PROJECTION].split([one.width for one in embeddings], dim=1)
    parts = [_part(table, one, matrix.t()) for one, matrix in zip(embeddings, projections, strict=True)]
    readout = None
    if table.spec.has_embedding_readout:
        weight = table[READOUT].reshape(-1)
        readout = weight / len(weight) ** 0.5
    return GlobalEmbedding(tuple(parts), readout)


def _part(table: WeightTable, one: EmbeddingSpec, projection: torch.Tensor) -> GlobalTable | GlobalNetwork:
    if one.kind == "categorical":
        return GlobalTable(table[f"{one.prefix}.weight"] @ projection, one.offset)
    first, second = (table[f"{one.prefix}.{step}.weight"].t() for step in (0, 2))
    biases = [torch.zeros(one.width, dtype=torch.float64)] * 2
    if one.has_biases:
        biases = [table[f"{one.prefix}.{step}.bias"] for step in (0, 2)]
    return GlobalNetwork((first.contiguous(), second @ projection), (biases[0], biases[1] @ projection))
