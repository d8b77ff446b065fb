"""Submodules and inputs of interaction blocks in the reference."""

import re
from dataclasses import dataclass

import numpy as np
import torch
from e3nn import o3
from e3nn.nn import Gate
from numpy.typing import NDArray
from torch import Tensor, nn

from mlip_lammps.families.mace.couplings import coupling
from mlip_lammps.families.mace.interactions import block_of
from mlip_lammps.families.mace.reference.modules import load_linear, load_weight
from mlip_lammps.families.mace.reference.radial import NormalizedMLP, RadialMLP
from mlip_lammps.families.mace.spec import MaceModel, weights_of


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
        Convolution weights, shape (n_edges, n_weights); None before they are computed.
    basis, cutoff, harmonics
        Output of `RadialBasis`.
    edge_centre, edge_neighbour
        Atom indices i and j of edges, shape (n_edges,).
    """

    features: Tensor
    one_hot: Tensor
    radial_weights: Tensor | None
    basis: Tensor
    cutoff: Tensor | None
    harmonics: Tensor
    edge_centre: Tensor
    edge_neighbour: Tensor

    def basis_and_elements(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the basis, rows of ``source`` for the neighbours and of ``target`` for the centres, side by side."""
        return torch.cat([self.basis, source[self.edge_neighbour], target[self.edge_centre]], dim=1)


class InteractionModules(nn.Module):
    """Submodules of the interaction block of layer ``t`` (counted from 1), by their names in mace-torch.

    The block adds the modules that only it has.

    Attributes
    ----------
    radial_network
        Network that gives the convolution weights.
    """

    def __init__(self, trained: MaceModel, t: int, dtype: torch.dtype):
        super().__init__()
        spec = trained.spec
        self.layer = layer = spec.layers[t - 1]
        self.n_elements = len(spec.atomic_numbers)
        self.dtype = dtype
        self._weights, self._prefix = trained.weights, weights_of("interactions", t)
        self.add_linear("linear_up", layer.irreps_in, layer.irreps_edge)
        self.convolution = o3.TensorProduct(
            layer.irreps_edge,
            o3.Irreps.spherical_harmonics(spec.l_max, p=1 if spec.has_even_harmonics else -1),
            layer.irreps_mid,
            [(i, order, k, "uvu", True) for i, order, k in layer.paths],
            shared_weights=False,
            internal_weights=False,
        ).to(dtype)
        compiled = dict(self.convolution.named_buffers())
        for orders in layer.coupled_orders():
            if 0 not in orders:
                symbols = compiled[f"_compiled_main_left_right._w3j_{'_'.join(map(str, orders))}"]
                symbols.copy_(coupling(trained, t, *orders))
        # Tables of the kernels have the channels of the widest irreps for all; the others' are zero.
        edge = o3.Irreps(layer.irreps_edge)
        widest = max(mul for mul, _ in edge)
        kept = torch.cat([widest * k + torch.arange(edge[i].mul) for k, (i, _, _) in enumerate(layer.paths)])
        self.register_buffer("columns_of_tables", kept)
        block = block_of(layer.interaction)
        block.build(self)
        self.radial_network = block.radial_network(self)

    def array(self, name: str) -> NDArray[np.generic]:
        """Return an array of the block by its name in it."""
        return self._weights[f"{self._prefix}.{name}"]

    def radial_mlp(self, name: str) -> nn.Module:
        """Return the network ``name`` without biases."""
        arrays = self._arrays_of(name).values()
        matrices = [torch.tensor(array, dtype=self.dtype) for array in arrays]
        return RadialMLP(matrices, self.layer.radial_activation_scale)

    def normalized_mlp(self, name: str) -> nn.Module:
        """Return the network ``name`` with biases and layer norms."""
        return NormalizedMLP(self._arrays_of(name), self.dtype)

    def _arrays_of(self, module: str) -> dict[str, NDArray[np.generic]]:
        start = f"{self._prefix}.{module}."
        names = [name for name in self._weights if name.startswith(start)]
        return {name.removeprefix(start): self._weights[name] for name in sorted(names, key=_numbers)}

    def add_gate(self, name: str, irreps: str) -> None:
        """Add a gate that gives ``irreps``: silu on the scalars, sigmoids on a gate for each other copy."""
        scalars = [entry for entry in o3.Irreps(irreps) if entry.ir.l == 0]
        gated = [entry for entry in o3.Irreps(irreps) if entry.ir.l > 0]
        silu, sigmoid = nn.functional.silu, nn.functional.sigmoid
        gates = o3.Irreps([(mul, "0e") for mul, _ in gated])
        gate = Gate(o3.Irreps(scalars), [silu] * len(scalars), gates, [sigmoid] * len(gated), o3.Irreps(gated))
        setattr(self, name, gate.to(self.dtype))

    def add_linear(self, name: str, irreps_in: str, irreps_out: str) -> None:
        """Add the ``o3.Linear`` ``name``."""
        setattr(self, name, load_linear(irreps_in, irreps_out, self.array(f"{name}.weight"), self.dtype))

    def add_element_product(self, name: str, irreps_in: str, irreps_out: str) -> None:
        """Add the tensor product ``name`` of features with one-hot elements."""
        product = o3.FullyConnectedTensorProduct(irreps_in, f"{self.n_elements}x0e", irreps_out)
        setattr(self, name, load_weight(product, self.array(f"{name}.weight"), self.dtype))

    def sum_over_neighbours(self, features: Tensor, inputs: LayerInputs) -> Tensor:
        """Return the convolution output summed over the neighbours of each atom, shape (n_atoms, dim of mid)."""
        weights = inputs.radial_weights
        if weights.shape[1] != len(self.columns_of_tables):
            weights = weights[:, self.columns_of_tables]
        messages = self.convolution(features[inputs.edge_neighbour], inputs.harmonics, weights)
        return messages.new_zeros(len(features), messages.shape[1]).index_add(0, inputs.edge_centre, messages)


def _numbers(name: str) -> list[int]:
    """Return the numbers in a name, so that layer10 comes after layer9."""
    return [int(number) for number in re.findall(r"\d+", name)]
