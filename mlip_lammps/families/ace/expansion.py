"""Constants of the expansion of a potential for some of its elements."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mlip_lammps.families.ace.radial import core_splines, radial_splines
from mlip_lammps.families.ace.spec import MU, AceModel
from mlip_lammps.kernels.expansion import ClusterExpansion, ElementExpansion

_AXES = (1, 2, 0)
"""The axes in the order of e3nn, which takes y as the polar axis; the PACE library takes z."""


def cluster_expansion(trained: AceModel, rows: Sequence[int]) -> ClusterExpansion:
    """Return the constants for the elements ``rows`` of the potential, without terms of other elements."""
    elements = tuple(_element(trained, row, rows) for row in rows)
    splines = radial_splines(trained.spec, rows), core_splines(trained.spec, rows)
    return ClusterExpansion(trained.spec.l_max, *splines, elements)


def turned(vectors: Tensor) -> Tensor:
    """Return vectors, shape (n, 3), as the operators take them."""
    return torch.stack([vectors[:, axis] for axis in _AXES], dim=1)


def _element(trained: AceModel, row: int, rows: Sequence[int]) -> ElementExpansion:
    place = torch.full((len(trained.atomic_numbers),), -1)
    place[list(rows)] = torch.arange(len(rows))
    every_factor, every_coefficient = {}, {}
    for rank in trained.ranks(row):
        factors, coefficients = (
            torch.from_numpy(trained.weights[f"{name}.{row}.{rank}"]) for name in ("factors", "coefficients")
        )
        elements = place[factors[:, :, MU]]
        is_present = (elements >= 0).all(dim=1)
        factors = torch.cat([elements[:, :, None], factors[:, :, MU + 1 :]], dim=2)
        every_factor[rank], every_coefficient[rank] = factors[is_present], coefficients[is_present]
    radial = torch.from_numpy(trained.weights["radial"])[row, list(rows)]
    return ElementExpansion(radial, every_factor, every_coefficient, len(trained.spec.embeddings[row].weights))
