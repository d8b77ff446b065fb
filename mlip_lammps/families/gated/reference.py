"""The reference model: e3nn's modules in float64, layer by layer as the training programs compute them."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from e3nn import o3
from e3nn.math import normalize2mom
from e3nn.nn import Gate
from torch import Tensor, nn

from mlip_lammps.families.gated.activations import activation
from mlip_lammps.families.gated.couplings import sign
from mlip_lammps.families.gated.repulsion import ZBL_COEFFICIENTS, ZBL_EXPONENTS, ZBL_LENGTH, ZBL_POWER
from mlip_lammps.families.gated.spec import GatedLayerSpec, GatedModel, GateSpec, LinearSpec, RepulsionSpec
from mlip_lammps.families.reference import ReferenceModel, default_dtype


class GatedReference(ReferenceModel):
    """Reference for a model with one modal."""

    def __init__(self, trained: GatedModel):
        spec = trained.spec
        super().__init__(spec.atomic_numbers, spec.cutoff)
        self.spec = spec
        self.radial_functions: Sequence[Callable[[Tensor], Tensor]] | None = None
        self.register_buffer("wave_numbers", _tensor(trained, "wave_numbers"))
        self.embedding = Linear(trained, spec.embedding)
        self.layers = nn.ModuleList(Layer(trained, t, layer) for t, layer in enumerate(spec.layers))
        self.readout = nn.ModuleList(Linear(trained, one) for one in spec.readout)
        self.register_buffer("reaches", _tensor(trained, "pair_cutoffs") if spec.has_pair_cutoffs else None)
        for name in ("shift", "scale"):
            values = _tensor(trained, name)
            self.register_buffer(name, values[spec.modal] if values.ndim == 2 else values)

    @property
    def has_repulsion(self) -> bool:
        return self.spec.repulsion is not None

    def with_radial_functions(self, functions: Sequence[Callable[[Tensor], Tensor]]) -> "GatedReference":
        other = copy.copy(self)
        other.radial_functions = functions
        return other

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        spec, distances = self.spec, torch.linalg.norm(edge_vectors, dim=1)
        one_hot = nn.functional.one_hot(species, len(spec.atomic_numbers)).to(self.dtype)
        parity = -1 if spec.has_odd_harmonics else 1
        irreps = o3.Irreps.spherical_harmonics(spec.l_max, parity)
        harmonics = o3.SphericalHarmonics(
            irreps, normalize=spec.has_unit_harmonics, normalization="component", irreps_in=f"1x1{'eo'[parity == -1]}"
        )(edge_vectors)
        pair = species[edge_centre], species[edge_neighbour]
        mapped = distances if self.reaches is None else distances * (spec.cutoff / self.reaches[pair])
        r = mapped.unsqueeze(1)
        basis = 2.0 / spec.cutoff * torch.sin(self.wave_numbers * r) / r * self._cutoff_function(r)
        features = self.embedding(one_hot)
        for t, layer in enumerate(self.layers):
            weights = None if self.radial_functions is None else self._tabulated(t, distances, pair)
            features = layer(features, one_hot, basis, harmonics, edge_centre, edge_neighbour, weights)
        for number, one in enumerate(self.readout):
            if number and spec.readout_activation is not None:
                features = activation(spec.readout_activation)(features)
            features = one(features)
        energies = features[:, 0] * self.scale[species] + self.shift[species]
        if spec.repulsion is None:
            return energies
        return energies.index_add(0, edge_centre, self._repulsion(spec.repulsion, distances, mapped, pair))

    def _repulsion(
        self, repulsion: RepulsionSpec, distances: Tensor, mapped: Tensor, pair: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Return half the repulsion of each edge in eV; ``mapped`` are the distances that the cutoff takes."""
        charges = torch.tensor(repulsion.charges, dtype=self.dtype)
        z_i, z_j = charges[pair[0]], charges[pair[1]]
        x = (z_i**ZBL_POWER + z_j**ZBL_POWER) * distances / ZBL_LENGTH
        screening = sum(c * torch.exp(-b * x) for c, b in zip(ZBL_COEFFICIENTS, ZBL_EXPONENTS, strict=True))
        envelope = self._polynomial(mapped / self.spec.cutoff, repulsion.cutoff_power)
        return 0.5 * repulsion.strength * z_i * z_j / distances * screening * envelope

    def _cutoff_function(self, r: Tensor) -> Tensor:
        """Return the cutoff function, zero beyond the cutoff, with the shape of ``r``."""
        r_c, number = self.spec.cutoff, self.spec.radial.cutoff_parameter
        if self.spec.radial.cutoff_kind == "polynomial":
            return self._polynomial(r / r_c, number)
        inner, outer, square = number**2, r_c**2, r * r
        falling = (outer - square) ** 2 * (outer + 2 * square - 3 * inner) / (outer - inner) ** 3
        return torch.where(r < number, torch.ones_like(r), falling) * (r < r_c)

    @staticmethod
    def _polynomial(x: Tensor, p: float) -> Tensor:
        value = 1 - (p + 1) * (p + 2) / 2 * x**p + p * (p + 2) * x ** (p + 1) - p * (p + 1) / 2 * x ** (p + 2)
        return value * (x < 1)

    def _tabulated(self, t: int, distances: Tensor, pair: tuple[Tensor, Tensor]) -> Tensor:
        """Return the radial weights of a table, for harmonics as this model has them.

        A table of a model without unit vectors includes the factors r^l.
        """
        if self.reaches is None:
            weights = self.radial_functions[t](distances)
        else:
            numbers = torch.tensor(self.spec.atomic_numbers)
            weights = self.radial_functions[t](distances, torch.stack([numbers[species] for species in pair]))
        if self.spec.has_unit_harmonics:
            return weights
        layer = self.layers[t]
        return weights / distances.unsqueeze(1) ** layer.orders


class Layer(nn.Module):
    """One layer, see ``GatedLayerSpec``."""

    def __init__(self, trained: GatedModel, t: int, layer: GatedLayerSpec):
        super().__init__()
        spec, prefix = trained.spec, f"layers.{t}"
        before, mid = o3.Irreps(layer.irreps_in), o3.Irreps(layer.irreps_mid)
        harmonics = o3.Irreps.spherical_harmonics(spec.l_max, -1 if spec.has_odd_harmonics else 1)
        with default_dtype(getattr(torch, trained.dtype)):
            self.convolution = o3.TensorProduct(
                before, harmonics, mid, [(i, l_edge, k, "uvu", True) for i, l_edge, k in layer.paths],
                shared_weights=False, internal_weights=False,
            ).to(torch.float64)  # fmt: skip
        signs = [(before[i].mul, sign(trained, before[i].ir.l, l_edge, mid[k].ir.l)) for i, l_edge, k in layer.paths]
        self.register_buffer("signs", torch.cat([torch.full((mul,), s, dtype=torch.float64) for mul, s in signs]))
        orders = [torch.full((before[i].mul,), l_edge) for i, l_edge, _ in layer.paths]
        self.register_buffer("orders", torch.cat(orders).to(torch.float64))
        n_matrices = len(layer.radial_widths) + 1
        self.radial = [_tensor(trained, f"{prefix}.radial.{k}.weight") for k in range(n_matrices)]
        scale = spec.radial.activation_scale
        self.silu = normalize2mom(nn.functional.silu) if scale is None else lambda x: scale * nn.functional.silu(x)
        self.register_buffer("denominator", _tensor(trained, f"{prefix}.denominator"))
        self.up, self.message = Linear(trained, layer.up), Linear(trained, layer.message)
        self.gate = _gate(layer.gate)
        self.self_connection = None
        gate_in, n_elements = layer.gate.irreps_in, len(spec.atomic_numbers)
        if layer.self_connection == "linear":
            self.self_connection = Linear(trained, LinearSpec(f"{prefix}.self_connection", layer.irreps_in, gate_in))
        elif layer.self_connection == "element":
            product = o3.FullyConnectedTensorProduct(before, f"{n_elements}x0e", gate_in).to(torch.float64)
            product.weight.data = _tensor(trained, f"{prefix}.self_connection.weight")
            self.self_connection = product.requires_grad_(False)

    def forward(
        self,
        features: Tensor,
        one_hot: Tensor,
        basis: Tensor,
        harmonics: Tensor,
        edge_centre: Tensor,
        edge_neighbour: Tensor,
        weights: Tensor | None,
    ) -> Tensor:
        """Return the features after the layer, shape (n_atoms, dim of ``irreps_out``).

        ``weights`` are tabulated radial weights; None for those of the network.
        """
        own = 0.0
        if isinstance(self.self_connection, Linear):
            own = self.self_connection(features)
        elif self.self_connection is not None:
            own = self.self_connection(features, one_hot)
        if weights is None:
            weights = basis
            for k, matrix in enumerate(self.radial):
                weights = (self.silu(weights) if k else weights) @ (matrix / matrix.shape[0] ** 0.5)
        # a denominator by element is that of the neighbour
        divisors = self.denominator if self.denominator.ndim == 0 else one_hot @ self.denominator[:, None]
        sources = (self.up(features) / divisors)[edge_neighbour]
        messages = self.convolution(sources, harmonics, self.signs * weights)
        total = messages.new_zeros(len(features), messages.shape[1]).index_add(0, edge_centre, messages)
        return self.gate(self.message(total) + own)


class Linear(nn.Module):
    """An ``o3.Linear`` that takes the one-hot modal after its features, see ``LinearSpec``."""

    def __init__(self, trained: GatedModel, one: LinearSpec):
        super().__init__()
        even_scalars = [ir == o3.Irrep("0e") and one.has_bias for _, ir in o3.Irreps(one.irreps_out)]
        self.linear = o3.Linear(one.full_irreps_in, one.irreps_out, biases=even_scalars).to(torch.float64)
        self.linear.weight.data = _tensor(trained, f"{one.name}.weight")
        if one.has_bias:
            self.linear.bias.data = _tensor(trained, f"{one.name}.bias")
        self.linear.requires_grad_(False)
        self.modal = None
        if one.n_modals:
            self.modal = nn.functional.one_hot(torch.tensor(trained.spec.modal), one.n_modals).to(torch.float64)

    def forward(self, features: Tensor) -> Tensor:
        """Return the mapped features."""
        if self.modal is not None:
            features = torch.cat([features, self.modal.expand(len(features), -1)], dim=1)
        return self.linear(features)


def _gate(gate: GateSpec) -> Gate:
    (scalars, of_scalars), (gates, of_gates) = (
        (o3.Irreps("+".join(entry for entry, _ in part)), [activation(name) for _, name in part])
        for part in (gate.scalars, gate.gates)
    )
    return Gate(scalars, of_scalars, gates, of_gates, o3.Irreps(gate.gated)).to(torch.float64)


def _tensor(trained: GatedModel, name: str) -> Tensor:
    return torch.from_numpy(np.array(trained.weights[name], dtype=np.float64))
