"""Activations of the gate by name, and e3nn's factors that normalise their second moment."""

import math
from collections.abc import Callable
from functools import cache

import torch
from e3nn.math import normalize2mom
from torch import Tensor

_SMALLEST_CHANGE = 1e-4
"""e3nn leaves out a factor that is closer to 1."""


def _shifted_softplus(values: Tensor) -> Tensor:
    return torch.nn.functional.softplus(values) - math.log(2.0)


_ACTIVATIONS = {
    "silu": torch.nn.functional.silu,
    "ssp": _shifted_softplus,
    "tanh": torch.tanh,
    "abs": torch.abs,
    "mish": torch.nn.functional.mish,
    "gelu": torch.nn.functional.gelu,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Return an activation without its factor."""
    return _ACTIVATIONS[name]


@cache
def activation_scale(name: str) -> float:
    """Return the factor of an activation, such that its square is 1 on average for normally distributed values."""
    factor = float(normalize2mom(_ACTIVATIONS[name]).cst)
    return 1.0 if abs(factor - 1.0) < _SMALLEST_CHANGE else factor
