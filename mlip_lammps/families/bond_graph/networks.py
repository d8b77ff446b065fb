"""Gated networks, and those of angles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mlip_lammps.families.state_weights import Weights
from mlip_lammps.kernels.torch.rows import select_rows

Norm = tuple[Tensor, Tensor]
"""Weights and biases of a layer normalisation."""


class Angles(Protocol):
    """Ordered angles: their two bonds, and the atoms of bonds."""

    first: Tensor
    second: Tensor
    centres: Tensor


@dataclass(frozen=True)
class Linear:
    """A linear map, shape (n_in, n_out), its bias, and the normalisation after it."""

    weight: Tensor
    bias: Tensor
    norm: Norm | None = None

    @classmethod
    def of(cls, weights: Weights, name: str, norm: str | None = None) -> "Linear":
        """Return a linear map by its name, and the normalisation ``norm`` if there is one."""
        return cls(*weights.linear(name), None if norm is None else norm_of(weights, norm))

    def __call__(self, values: Tensor) -> Tensor:
        return normalised(values @ self.weight + self.bias, self.norm)


def norm_of(weights: Weights, name: str) -> Norm:
    """Return the weights and biases of a layer normalisation."""
    return weights[f"{name}.weight"], weights[f"{name}.bias"]


def normalised(values: Tensor, norm: Norm | None) -> Tensor:
    """Return the layer normalisation of rows, or the rows without one."""
    return values if norm is None else torch.nn.functional.layer_norm(values, values.shape[1:], *norm)


class GatedNetwork:
    """A network times the sigmoid of another one. The first linear map is that of both, side by side.

    Parameters
    ----------
    activation
        Activation function of hidden layers and of the first network's result.
    core, gate
        Linear maps of the two networks, which have the same shapes.
    is_activated
        Whether the result of the first network goes through the activation function.

    Attributes
    ----------
    weight, bias
        First linear map of both, shape (n_in, 2 * first width).
    """

    def __init__(
        self,
        activation: Callable[[Tensor], Tensor],
        core: list[Linear],
        gate: list[Linear],
        is_activated: bool = True,
    ):
        self._activation, self._parts, self._is_activated = activation, (core, gate), is_activated
        self.weight = torch.cat([part[0].weight for part in self._parts], dim=1)
        self.bias = torch.cat([part[0].bias for part in self._parts])

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.after_first(inputs @ self.weight + self.bias)

    def after_first(self, hidden: Tensor) -> Tensor:
        """Return the result from that of the first linear map."""
        results = []
        for values, (first, *further) in zip(hidden.chunk(2, dim=1), self._parts, strict=True):
            values = normalised(values, first.norm)
            for linear in further:
                values = linear(self._activation(values))
            results.append(values)
        core, gate = results
        return (self._activation(core) if self._is_activated else core) * torch.sigmoid(gate)

    def split(self, widths: Mapping[str, int]) -> dict[str, Tensor]:
        """Return the rows of the first linear map by the names of the inputs, which are in the order of ``widths``."""
        parts = self.weight.split(list(widths.values()))
        return {name: part.contiguous() for name, part in zip(widths, parts, strict=True)}


class AngleNetwork:
    """A network of two bonds, their angle and their atom; parts of bonds and atoms are mapped once for each of them.

    Parameters
    ----------
    network
        The gated network.
    widths
        Widths of its inputs ``first``, ``second``, ``angle`` and ``own`` in their order.
    """

    def __init__(self, network: GatedNetwork, widths: Mapping[str, int]):
        self._network, self._weights = network, network.split(widths)

    def __call__(self, of: Angles, first: Tensor, second: Tensor, angles: Tensor, nodes: Tensor) -> Tensor:
        """Return the messages or updates of ordered angles, shape (n_ordered_angles, width).

        Parameters
        ----------
        first, second
            Features of bonds where they are the first and the second bond of an angle, shape (n_bonds, bond_width).
        angles
            Shape (n_ordered_angles, angle_width).
        nodes
            Features of the centres.
        """
        weights = self._weights
        own = select_rows(nodes @ weights["own"] + self._network.bias, of.centres)
        first = select_rows(first @ weights["first"] + own, of.first)
        second = select_rows(second @ weights["second"], of.second)
        return self._network.after_first(first + second + angles @ weights["angle"])
