"""e3nn modules with given weights."""

from collections.abc import Mapping

import numpy as np
import torch
from e3nn import o3
from numpy.typing import NDArray
from torch import nn

Weights = Mapping[str, NDArray[np.generic]]


def load_linear(irreps_in: str, irreps_out: str, weight: NDArray[np.generic], dtype: torch.dtype) -> o3.Linear:
    """Return an ``o3.Linear`` with the weights ``weight``, shape (weight_numel,)."""
    return load_weight(o3.Linear(irreps_in, irreps_out), weight, dtype)


def load_weight(module: nn.Module, weight: NDArray[np.generic], dtype: torch.dtype) -> nn.Module:
    """Return ``module`` in ``dtype`` with its ``weight`` set and not trainable."""
    module = module.to(dtype)
    module.weight = nn.Parameter(torch.tensor(weight, dtype=dtype).reshape(module.weight.shape), requires_grad=False)
    return module
