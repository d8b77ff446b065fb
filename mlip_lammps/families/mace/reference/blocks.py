"""One message-passing layer of MACE, built from e3nn modules."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from e3nn import o3
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mlip_lammps.families.mace.interactions import block_of
from mlip_lammps.families.mace.reader.validation import order_weight
from mlip_lammps.families.mace.reference.interaction import InteractionModules, LayerInputs
from mlip_lammps.families.mace.reference.modules import Weights, load_linear
from mlip_lammps.families.mace.spec import CHARGE_READOUTS, LayerSpec, MaceModel, ReadoutSpec, weights_of

_GATES = {"silu": nn.functional.silu, "tanh": torch.tanh, "abs": torch.abs, "identity": lambda values: values}

_MOST_NUMBERS = 1 << 20
"""Largest tensor of a contraction (8 MB in float64): larger ones leave the caches and take twice the time."""


class Layer(nn.Module):
    """Message, symmetric contraction, skip connection and readout of layer ``t`` (counted from 1)."""

    def __init__(self, trained: MaceModel, t: int, dtype: torch.dtype):
        super().__init__()
        spec, weights = trained.spec, trained.weights
        layer = spec.layers[t - 1]
        self.block = block_of(layer.interaction)
        self.interaction = InteractionModules(trained, t, dtype)
        self.is_product_by_element = spec.is_product_by_element
        product = weights_of("products", t)
        self.contraction = SymmetricContraction(layer, f"{product}.symmetric_contractions", weights, dtype)
        self.mix = load_linear(layer.irreps_out, layer.irreps_out, weights[f"{product}.linear.weight"], dtype)
        self.readout = None
        if layer.readout is not None:
            self.readout = Readout(layer.irreps_out, layer.readout, weights_of("readouts", t), weights, dtype)
        self.charge_readout = None
        if layer.readout is not None and spec.latent_ewald is not None:
            prefix = weights_of(CHARGE_READOUTS, t)
            self.charge_readout = Readout(layer.irreps_out, layer.readout, prefix, weights, dtype)

    def forward(self, inputs: LayerInputs) -> Tensor:
        """Return the features after the layer, shape (n_atoms, dim of ``irreps_out``)."""
        if inputs.radial_weights is None:
            weights = self.interaction.radial_network(self.block.radial_inputs(self.interaction, inputs))
            inputs = replace(inputs, radial_weights=weights if inputs.cutoff is None else weights * inputs.cutoff)
        message, skip = self.block.reference(self.interaction, inputs)
        elements = inputs.one_hot if self.is_product_by_element else torch.ones_like(inputs.one_hot[:, :1])
        products = self.mix(self.contraction(message, elements))
        return products if skip is None else products + skip

    def energies(self, features: Tensor) -> Tensor:
        """Return the layer's contribution to the atomic energies before scaling, shape (n_atoms,)."""
        if self.readout is None:
            return torch.zeros_like(features[:, 0])
        return self.readout(features)

    def charges(self, features: Tensor) -> Tensor:
        """Return the layer's contribution to the latent charges, shape (n_atoms,)."""
        if self.charge_readout is None:
            return torch.zeros_like(features[:, 0])
        return self.charge_readout(features)


class SymmetricContraction(nn.Module):
    """Polynomials of the message with element-dependent weights (arXiv 2206.07697, eq. 10 and 11).

    Notes
    -----
    Each output irrep is the sum over orders nu of U_nu W_nu contracted with nu copies of the message. Evaluation starts
    with the highest order and adds lower orders in turn (Horner's scheme). Only rows (m, i_1 ... i_nu) of U_nu with a
    number other than zero are kept, some per cent of all.
    """

    def __init__(self, layer: LayerSpec, prefix: str, weights: Weights, dtype: torch.dtype):
        super().__init__()
        self.irreps_in = o3.Irreps(layer.irreps_message)
        self.irreps_out = o3.Irreps(layer.irreps_out)
        self.correlation = layer.correlation
        self.n_components = sum(ir.dim for _, ir in self.irreps_in)
        for k, (_, ir) in enumerate(self.irreps_out):
            for order in range(1, self.correlation + 1):
                contraction = f"{prefix}.contractions.{k}"
                coupling = torch.tensor(weights[f"{contraction}.U_matrix_{order}"], dtype=dtype)
                rows = coupling.reshape(ir.dim * self.n_components**order, -1)
                kept = rows.abs().amax(dim=1).nonzero().squeeze(1)
                self.register_buffer(f"rows_{k}_{order}", kept)
                self.register_buffer(f"coupling_{k}_{order}", rows[kept])
                weight = torch.tensor(weights[f"{contraction}.{order_weight(layer, order)}"], dtype=dtype)
                self.register_buffer(f"weight_{k}_{order}", weight)

    def forward(self, message: Tensor, one_hot: Tensor) -> Tensor:
        """Return the product basis, shape (n_atoms, dim of ``irreps_out``).

        Parameters
        ----------
        message
            Messages, shape (n_atoms, dim of ``irreps_message``), with the irrep as outermost index.
        one_hot
            One-hot elements, shape (n_atoms, n_elements).
        """
        blocks = [
            message[:, part].reshape(len(message), mul, ir.dim)
            for (mul, ir), part in zip(self.irreps_in, self.irreps_in.slices(), strict=True)
        ]
        components = torch.cat(blocks, dim=2)
        outputs = [self._contract(k, components, one_hot) for k in range(len(self.irreps_out))]
        return torch.cat(outputs, dim=1)

    def _contract(self, k: int, components: Tensor, one_hot: Tensor) -> Tensor:
        """Return one output irrep, shape (n_atoms, n_channels * dim).

        Wide models are contracted some channels at a time, and once more for the gradient: the largest tensor has a
        number for each row of the coupling for each channel of each atom.
        """
        n_channels = components.shape[1]
        of_channel = len(components) * len(getattr(self, f"rows_{k}_{self.correlation}"))
        together = max(1, _MOST_NUMBERS // max(1, of_channel))
        if together >= n_channels:
            return self._contract_channels(k, components, one_hot, 0).flatten(1)
        parts = [
            checkpoint(
                self._contract_channels, k, components[:, start : start + together], one_hot, start, use_reentrant=False
            )
            for start in range(0, n_channels, together)
        ]
        return torch.cat(parts, dim=1).flatten(1)

    def _contract_channels(self, k: int, components: Tensor, one_hot: Tensor, start: int) -> Tensor:
        """Return one output irrep for the channels from ``start`` on, shape (n_atoms, n, dim)."""
        n_atoms, n_channels, n = components.shape
        components = components.permute(2, 0, 1)  # rows first: they are gathered and added whole
        partial = components.new_zeros(self.irreps_out[k].ir.dim * n ** (self.correlation - 1), n_atoms, n_channels)
        for order in range(self.correlation, 0, -1):
            coupling, weight = getattr(self, f"coupling_{k}_{order}"), getattr(self, f"weight_{k}_{order}")
            weight = weight[..., start : start + n_channels]
            by_atom = torch.einsum("be,ekc->kbc", one_hot, weight)
            rows = getattr(self, f"rows_{k}_{order}")
            terms = (coupling @ by_atom.flatten(1)).unflatten(1, (n_atoms, n_channels))
            if order < self.correlation:
                partial = (partial.unflatten(0, (-1, n)) * components).sum(dim=1)
            partial = partial.index_add(0, rows // n, terms * components.index_select(0, rows % n))
        partial = partial.permute(1, 2, 0)
        return partial


class Readout(nn.Module):
    """Atomic energies from the scalar features: linear maps with a scaled gate between them, see `ReadoutSpec`."""

    def __init__(self, irreps_in: str, readout: ReadoutSpec, prefix: str, weights: Weights, dtype: torch.dtype):
        super().__init__()
        self.activation_scale = readout.activation_scale
        self.gate = _GATES[readout.activation]
        self.linears, self.biases = nn.ModuleList(), []
        for name, (given, wanted) in zip(readout.maps, pairwise(readout.widths(irreps_in, 1)), strict=True):
            self.linears.append(load_linear(given, wanted, weights[f"{prefix}.{name}.weight"], dtype))
            self.biases.append(torch.as_tensor(np.asarray(weights.get(f"{prefix}.{name}.bias", 0.0)), dtype=dtype))

    def forward(self, features: Tensor) -> Tensor:
        """Return atomic energies before scaling, shape (n_atoms,)."""
        values = self.linears[0](features)
        for linear, bias in zip(self.linears[1:], self.biases[1:], strict=True):
            values = linear(self.activation_scale * self.gate(values)) + bias
        return values.squeeze(1)
