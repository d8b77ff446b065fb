"""Activation functions of n2p2 and RuNNer in torch."""

from collections.abc import Callable

import torch
from torch import Tensor

_LINEAR_FROM = 30.0
"""Argument from which on softplus is linear to 1e-13."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "tanh": torch.tanh,
    "logistic": torch.sigmoid,
    "softplus": lambda x: torch.nn.functional.softplus(x, 1.0, _LINEAR_FROM),
    "relu": torch.relu,
    "gaussian": lambda x: torch.exp(-0.5 * x * x),
    "cos": torch.cos,
    "reversed logistic": lambda x: 1.0 - torch.sigmoid(x),
    "exp": lambda x: torch.exp(-x),
    "harmonic": lambda x: x * x,
}
