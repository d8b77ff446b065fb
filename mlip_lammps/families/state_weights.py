"""Weights of a state dict as tensors for layers."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Weights:
    """Weights by name in one precision.

    Parameters
    ----------
    arrays
        Arrays by their names in the state dict.
    dtype
        Precision of the tensors.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.floating]], dtype: torch.dtype):
        self._arrays, self._dtype = arrays, dtype

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(self._arrays[name]).to(self._dtype)

    def linear(self, name: str) -> tuple[Tensor, Tensor]:
        """Return a linear map, shape (n_in, n_out), and its bias, which is zero where the file has none."""
        weight = self[f"{name}.weight"].T.contiguous()
        has_bias = f"{name}.bias" in self._arrays
        return weight, self[f"{name}.bias"] if has_bias else weight.new_zeros(weight.shape[1])
