"""GPU plan of a lowered model; its phases are the programs of the contract and the steps before and after them."""

from dataclasses import replace

import torch
from torch import Tensor

from mlip_lammps.kernels.gpu import shapes
from mlip_lammps.kernels.gpu.layer import LayerPlan
from mlip_lammps.kernels.gpu.neighbours import plan_neighbours
from mlip_lammps.kernels.gpu.plan import GpuPlan
from mlip_lammps.kernels.gpu.steps import plan_begin, plan_sums
from mlip_lammps.kernels.lowered import LinearBlock, LoweredLayer, LoweredModel


def plan_model(
    model: LoweredModel, features: torch.dtype, smallest: Tensor, has_fine_tables: bool = False
) -> GpuPlan:
    """Return the plan of a lowered model.

    Parameters
    ----------
    smallest
        Distances in angstrom, by pair of elements, below which LAMMPS warns about two atoms, shape (n_elements,
        n_elements).
    has_fine_tables
        See ``GpuPlan``.
    """
    channels = tuple(layer.n_channels for layer in model.layers)
    plan = GpuPlan(features, len(model.atomic_numbers), channels, has_fine_tables)
    model = with_padded_channels(model)
    plan_neighbours(plan, model, smallest)
    plan_begin(plan, model)
    n_layers = len(model.layers)
    layers = [LayerPlan(plan, model, t) for t in range(1, n_layers + 1)]
    for layer in layers[:-1]:
        layer.plan_forward(f"forward_{layer.t}")
        layer.hand_on(f"forward_{layer.t}", layers[layer.t])
    layers[-1].plan_forward("last")
    layers[-1].plan_backward("last")
    for layer in reversed(layers[:-1]):
        layer.plan_backward(f"backward_{layer.t}", layers[layer.t])
    plan_sums(plan)
    return plan


def with_padded_channels(model: LoweredModel) -> LoweredModel:
    """Return the model with zero-padded channels, as many as the kernels require."""

    def pad(tensor: Tensor, copies: int, n: int, dim: int) -> Tensor:
        parts = tensor.unflatten(dim, (copies, n))
        shape = list(parts.shape)
        dim = dim % tensor.ndim
        shape[dim + 1] = shapes.padded_channels(n) - n
        return torch.cat([parts, parts.new_zeros(shape)], dim=dim + 1).flatten(dim, dim + 1)

    def of_layer(layer: LoweredLayer) -> LoweredLayer:
        n = layer.n_channels

        def blocks(given: tuple[LinearBlock, ...]) -> tuple[LinearBlock, ...]:
            return tuple(
                replace(b, matrix=pad(pad(b.matrix, b.in_copies, n, b.matrix.ndim - 2), 1, n, b.matrix.ndim - 1))
                for b in given
            )

        *before, last = layer.radial.matrices
        readout = layer.readout_matrices
        if readout:
            readout = (pad(readout[0], len(layer.readout_scalars), n, 0), *readout[1:])
        return replace(
            layer,
            n_channels=shapes.padded_channels(n),
            n_edge_channels=shapes.padded_channels(n),
            embedding=None if layer.embedding is None else pad(layer.embedding, 1, n, 2),
            up=blocks(layer.up),
            message=blocks(layer.message),
            mix=blocks(layer.mix),
            skip=blocks(layer.skip),
            radial=replace(layer.radial, matrices=(*before, pad(last, len(layer.paths), n, 1))),
            polynomial=tuple(replace(order, weights=pad(order.weights, 1, n, 3)) for order in layer.polynomial),
            readout_matrices=readout,
        )

    return replace(model, layers=tuple(of_layer(layer) for layer in model.layers))
