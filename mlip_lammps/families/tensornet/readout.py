"""The readout: a network times the sigmoid of another one."""

from collections.abc import Callable

import torch
from torch import Tensor

from mlip_lammps.families.tensornet.spec import READOUT_DEPTH

Linear = Callable[[str, Tensor], Tensor]
"""A linear map by its name in MatGL."""


def gated_network(linear: Linear, nodes: Tensor) -> Tensor:
    """Return the output of the network for each atom, shape (n_atoms,)."""
    values = gates = nodes
    for k in range(READOUT_DEPTH):
        values, gates = (
            linear(f"final_layer.gated.{part}.{2 * k}", one) for part, one in (("layers", values), ("gates", gates))
        )
        if k < READOUT_DEPTH - 1:
            values, gates = torch.nn.functional.silu(values), torch.nn.functional.silu(gates)
    return (values * torch.sigmoid(gates))[:, 0]
