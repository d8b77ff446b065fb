"""Submodules and inputs of interaction blocks in the reference."""

from dataclasses import dataclass

import torch
from e3nn import o3
from torch import Tensor, nn

from mlip_lammps.families.mace.interactions import block_of
from mlip_lammps.families.mace.reference.modules import Weights, load_linear, load_weight
from mlip_lammps.families.mace.spec import ModelSpec, weights_of


@dataclass(frozen=True)
class LayerInputs:
    """Inputs of a layer.

    Attributes
    ----------
    features
        Node features, shape (n_atoms, dim of ``irreps_in``).
    one_hot
        One-hot elements, shape (n_atoms, n_elements).
    radial_weights
        Convolution weights, shape (n_edges, n_weights).
    basis, cutoff, harmonics
        Output of `RadialBasis`.
    edge_centre, edge_neighbour
        Atom indices i and j of edges, shape (n_edges,).
    """

    features: Tensor
    one_hot: Tensor
    radial_weights: Tensor
    basis: Tensor
    cutoff: Tensor | None
    harmonics: Tensor
    edge_centre: Tensor
    edge_neighbour: Tensor


class InteractionModules(nn.Module):
    """Submodules of the interaction block of layer ``t`` (counted from 1), by their names in mace-torch.

    ``weights`` contains the model's weights. Those of this block start with ``prefix``; a block reads its additional
    weights from there.
    """

    def __init__(self, spec: ModelSpec, t: int, weights: Weights, dtype: torch.dtype):
        super().__init__()
        self.layer = layer = spec.layers[t - 1]
        self.prefix = prefix = weights_of("interactions", t)
        self.weights = weights
        self.dtype = dtype
        self.linear_up = load_linear(layer.irreps_in, layer.irreps_in, weights[f"{prefix}.linear_up.weight"], dtype)
        self.convolution = o3.TensorProduct(
            layer.irreps_in,
            o3.Irreps.spherical_harmonics(spec.l_max),
            layer.irreps_mid,
            [(i, order, k, "uvu", True) for i, order, k in layer.paths],
            shared_weights=False,
            internal_weights=False,
        ).to(dtype)
        self.linear = load_linear(layer.irreps_mid, layer.irreps_message, weights[f"{prefix}.linear.weight"], dtype)
        skip_irreps = block_of(layer.interaction).skip_irreps(layer.irreps_in, layer.irreps_message, layer.irreps_out)
        skip = o3.FullyConnectedTensorProduct(skip_irreps[0], f"{len(spec.atomic_numbers)}x0e", skip_irreps[1])
        self.skip_tp = load_weight(skip, weights[f"{prefix}.skip_tp.weight"], dtype)

    def sum_over_neighbours(self, features: Tensor, inputs: LayerInputs) -> Tensor:
        """Return the convolution output summed over the neighbours of each atom, shape (n_atoms, dim of mid)."""
        messages = self.convolution(features[inputs.edge_neighbour], inputs.harmonics, inputs.radial_weights)
        return messages.new_zeros(len(features), messages.shape[1]).index_add(0, inputs.edge_centre, messages)
