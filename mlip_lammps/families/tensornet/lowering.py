"""What the kernels compute of a potential: sums over neighbours and linear maps of tensors, as convolutions."""

import math

import numpy as np
import torch
from torch import Tensor

from mlip_lammps.families.matgl.bessel import bessel_zeros, smooth_matrix
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.families.tensornet.spec import TensorNetModel, TensorNetSpec
from mlip_lammps.families.tensornet.tensors import DIRECTION_FACTORS, N_COMPONENTS, PARTS
from mlip_lammps.kernels.lowered import ConvolutionPath, LinearBlock, LoweredLayer, LoweredModel, RepulsionTables
from mlip_lammps.kernels.radial_constants import RadialBasis, RadialNetwork

_NETWORK_ACTIVATIONS = {"swish": "silu"}
_L_MAX = 2


def lowered_sums(trained: TensorNetModel, atomic_numbers: tuple[int, ...]) -> LoweredModel:
    """Return the sums over neighbours: that of the embedding, and one for each interaction, and the linear maps.

    Layer 1 is the embedding. Its features are those of pairs of elements (centre, neighbour), one component, and its
    map ``mix`` is that of the sum. Layer 1 + k is the interaction k: ``skip`` is the linear map of the tensors before
    the sum, and ``mix`` that of the product after it. If messages contain the tensors of the centre, the sums of
    interactions are those of the radial functions, one component for each part of the tensors.
    """
    spec, weights = trained.spec, Weights(trained.weights, torch.float64)
    basis, to_functions = radial_basis(trained)
    layers = [_embedding(spec, weights, to_functions)]
    layers += [_interaction(spec, weights, block, to_functions) for block in range(spec.n_blocks)]
    return LoweredModel(
        atomic_numbers=atomic_numbers,
        cutoff=spec.cutoff,
        l_max=_L_MAX,
        radial=basis,
        layers=tuple(layers),
        node_constants=torch.zeros(len(atomic_numbers), dtype=torch.float64),
        energy_scale=1.0,
        repulsion=None,
    )


def radial_basis(trained: TensorNetModel) -> tuple[RadialBasis, Tensor]:
    """Return functions of the distance, and the matrix from them to the radial functions of the potential."""
    spec = trained.spec
    cutoff = {"cutoff_power": 0, "is_cutoff_on_basis": False}
    one = torch.tensor(1.0, dtype=torch.float64)
    if spec.radial_basis == "smooth":
        numbers = math.pi / spec.cutoff * np.arange(1, spec.max_n + 2)
        matrix = smooth_matrix(spec.max_n) / spec.cutoff**1.5 / numbers[:, None]
        return RadialBasis(torch.from_numpy(numbers), one, **cutoff), torch.from_numpy(matrix)
    if spec.radial_basis == "bessel":
        zeros, factors = bessel_zeros(spec.max_l, spec.max_n)
        zeros, factors = zeros.ravel(), factors.ravel() * spec.cutoff**-1.5
        orders = tuple(order for order in range(spec.max_l) for _ in range(spec.max_n))
        bessel = RadialBasis(torch.from_numpy(zeros / spec.cutoff), one, kind="spherical", orders=orders, **cutoff)
        return bessel, torch.diag(torch.from_numpy(factors))
    centres = Weights(trained.weights, torch.float64)["bond_expansion.rbf.centers"]
    unit = torch.eye(spec.n_radial, dtype=torch.float64)
    return RadialBasis(centres, -spec.gaussian_width * one, kind="gaussian", **cutoff), unit


def pair_embedding(trained: TensorNetModel, rows: list[int]) -> Tensor:
    """Return the factors of the embedding of pairs of elements, shape (n_elements^2, units), float64."""
    weights = Weights(trained.weights, torch.float64)
    elements = weights["tensor_embedding.emb.weight"][rows]
    matrix, bias = weights.linear("tensor_embedding.emb2")
    centre, neighbour = (elements @ half for half in matrix.chunk(2))
    return (centre[:, None] + neighbour[None] + bias).flatten(0, 1)


def repulsion_tables(trained: TensorNetModel, atomic_numbers: tuple[int, ...]) -> RepulsionTables | None:
    """Return the constants of the ZBL repulsion by pair of elements; None without it."""
    spec = trained.spec
    if not spec.has_repulsion:
        return None
    weights = Weights(trained.weights, torch.float64)
    power, divisor, coefficients, exponents = (
        torch.nn.functional.softplus(weights[f"repulsion.{name}"])
        for name in ("a_pow", "a_div", "coefficients", "exponents")
    )
    charges = torch.tensor(atomic_numbers, dtype=torch.float64)
    lengths = charges**power
    n = len(atomic_numbers)
    return RepulsionTables(
        n_elements=n,
        strengths=(0.5 * weights["repulsion.ke"] * charges[:, None] * charges).flatten(),
        decays=((lengths[:, None] + lengths) * divisor).flatten(),
        reaches=torch.full((n * n,), 1.0 / spec.cutoff, dtype=torch.float64),
        coefficients=tuple((coefficients / coefficients.sum()).tolist()),
        exponents=tuple(exponents.tolist()),
        cutoff_power=3,
        cutoff=spec.cutoff,
    )


def by_part(matrix: Tensor, n_channels: int) -> Tensor:
    """Return results of a linear map, last axis, in the order part, channel; MatGL has channel, part."""
    return matrix.unflatten(-1, (n_channels, len(PARTS))).transpose(-1, -2).flatten(-2)


def _embedding(spec: TensorNetSpec, weights: Weights, to_functions: Tensor) -> LoweredLayer:
    names = [f"tensor_embedding.distance_proj{k + 1}" for k in range(len(PARTS))]
    matrices, biases = zip(*(weights.linear(name) for name in names), strict=True)
    network = RadialNetwork((to_functions @ torch.cat(matrices, dim=1),), biases=(torch.cat(biases),))
    paths = []
    for order, (part, factor) in enumerate(zip(PARTS, DIRECTION_FACTORS, strict=True)):
        coupling = factor * torch.eye(2 * order + 1, dtype=torch.float64)[None]
        paths.append(ConvolutionPath(0, part.start, 1, 0, order, order, coupling))
    return _layer(spec, (1, N_COMPONENTS), (), paths, network, _tensor_maps(weights, "tensor_embedding", 0))


def _interaction(spec: TensorNetSpec, weights: Weights, block: int, to_functions: Tensor) -> LoweredLayer:
    name = f"layers.{block}"
    matrices, biases = zip(*(weights.linear(f"{name}.linears_scalar.{k}") for k in range(3)), strict=True)
    activation = _NETWORK_ACTIVATIONS.get(spec.activation, spec.activation)
    network = RadialNetwork(
        (to_functions @ matrices[0], matrices[1], by_part(matrices[2], spec.units)),
        biases=(*biases[:2], by_part(biases[2], spec.units)),
        activation=activation,
        is_last_activated=True,
    )
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    if spec.has_own_messages:
        n_in, n_out = 1, len(PARTS)
        paths = [ConvolutionPath(0, k, 1, 0, 0, 0, one) for k in range(len(PARTS))]
    else:
        n_in = n_out = N_COMPONENTS
        paths = []
        for order, part in enumerate(PARTS):
            coupling = torch.eye(2 * order + 1, dtype=torch.float64)[:, None]
            paths.append(ConvolutionPath(part.start, part.start, 1, order, 0, order, coupling))
    before, after = (_tensor_maps(weights, name, first) for first in (0, 3))
    return _layer(spec, (n_in, n_out), before, paths, network, after)


def _tensor_maps(weights: Weights, name: str, first: int) -> tuple[LinearBlock, ...]:
    return tuple(
        LinearBlock(part.start, 1, part.start, part.stop - part.start, weights.linear(f"{name}.linears_tensor.{k}")[0])
        for k, part in enumerate(PARTS, start=first)
    )


def _layer(
    spec: TensorNetSpec,
    n_components: tuple[int, int],
    before: tuple[LinearBlock, ...],
    paths: list[ConvolutionPath],
    network: RadialNetwork,
    after: tuple[LinearBlock, ...],
) -> LoweredLayer:
    return LoweredLayer(
        n_channels=spec.units,
        n_edge_channels=spec.units,
        embedding=None,
        n_components_in=N_COMPONENTS,
        n_components_edge=n_components[0],
        n_components_mid=n_components[1],
        n_components_message=N_COMPONENTS,
        n_components_out=N_COMPONENTS,
        up=(),
        paths=tuple(paths),
        radial=network,
        message=(),
        polynomial=(),
        mix=after,
        skip=before,
        readout_scalars=(),
        readout_matrices=(),
        readout_activation_scale=1.0,
    )
