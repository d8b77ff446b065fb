"""The operators of a lowered model in plain torch: slow, for comparison with the other backends."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.operators import OperatorCode, TableInput
from mlip_lammps.kernels.precision import PRECISIONS
from mlip_lammps.kernels.torch.edge_convolution import edge_convolution
from mlip_lammps.kernels.torch.linear import irrep_linear
from mlip_lammps.kernels.torch.radial import density_terms, radial_weights
from mlip_lammps.kernels.torch.spherical_harmonics import spherical_harmonics
from mlip_lammps.kernels.torch.symmetric_contraction import symmetric_contraction


class TorchOperators:
    """``LayerOperators`` in plain torch, with the radial network on every edge."""

    def __init__(self, model: LoweredModel, dtype: str):
        self.model = model
        self.precision = PRECISIONS[dtype]
        self.layers = tuple(cast(layer, self.precision.features) for layer in model.layers)

    def messages(
        self,
        t: int,
        features: Tensor,
        vectors: Tensor,
        centre: Tensor,
        source: Tensor,
        centre_species: Tensor,
        pairs: Tensor | None = None,
        scalars: Tensor | None = None,
        tables: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        layer = self.layers[t - 1]
        received = self._sums(t, features, vectors, centre, source, centre_species.shape[0], pairs, scalars)
        by_element = centre_species if layer.is_message_by_element else None
        return flat(irrep_linear(received, layer.message, layer.n_components_ungated, by_element))

    def received(
        self,
        t: int,
        features: Tensor,
        vectors: Tensor,
        centre: Tensor,
        source: Tensor,
        like: Tensor,
        pairs: Tensor | None = None,
        tables: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        return flat(self._sums(t, features, vectors, centre, source, like.shape[0], pairs))

    def _sums(
        self,
        t: int,
        features: Tensor,
        vectors: Tensor,
        centre: Tensor,
        source: Tensor,
        n_local: int,
        pairs: Tensor | None = None,
        scalars: Tensor | None = None,
    ) -> Tensor:
        """Return the sums over neighbours, shape (n_local, n_components_mid, n_edge_channels)."""
        layer = self.layers[t - 1]
        features, of_sources = features.split([layer.width_edge, layer.width_scalars], dim=1)
        shaped = features.reshape(-1, layer.n_components_edge, layer.n_edge_channels)
        vectors = vectors.to(self.precision.geometry)
        distances = (vectors * vectors).sum(dim=1).sqrt()
        harmonics = spherical_harmonics(vectors / distances.unsqueeze(1), self.model.l_max)
        network, dtype = self.model.layers[t - 1].radial, self.precision.features
        added = None
        if layer.attention is not None:
            added = (of_sources @ layer.attention.from_source).index_select(0, source)
            added = added + (scalars @ layer.attention.from_target).index_select(0, centre)
        weights = radial_weights(self.model.radial, network, self.model.cutoff, distances, pairs, dtype, added)
        if added is not None or not network.is_plain:  # not zero where the basis is
            weights = weights * (distances < self.model.cutoff).to(weights.dtype).unsqueeze(1)
        return edge_convolution(
            shaped,
            harmonics.to(self.precision.features),
            weights.view(-1, len(layer.paths), layer.n_edge_channels),
            centre,
            source,
            n_local,
            layer.paths,
            layer.n_components_mid,
        )

    def density(
        self,
        t: int,
        vectors: Tensor,
        centre: Tensor,
        centre_species: Tensor,
        pairs: Tensor | None = None,
        tables: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        vectors = vectors.to(self.precision.geometry)
        distances = (vectors * vectors).sum(dim=1).sqrt()
        network = self.model.layers[t - 1].density.network
        terms = density_terms(self.model.radial, network, self.model.cutoff, distances, pairs).squeeze(1)
        if not network.is_plain:
            terms = terms * (distances < self.model.cutoff).to(terms.dtype)
        total = terms.new_zeros(centre_species.shape[0]).index_add(0, centre, terms)
        return total.to(self.precision.features)

    def contract(self, t: int, messages: Tensor, species: Tensor) -> Tensor:
        layer = self.layers[t - 1]
        shaped = messages.view(-1, layer.n_components_message, layer.n_channels)
        return flat(symmetric_contraction(shaped, species, layer.polynomial, layer.n_components_out))

    def linear(self, kind: str, t: int, features: Tensor, species: Tensor) -> Tensor:
        layer = self.layers[t - 1]
        blocks, _, n_out = layer.linear_map(kind)
        n_channels = layer.n_edge_channels if kind == "residual" else layer.n_channels
        shaped = features.view(features.shape[0], -1, n_channels)
        return flat(irrep_linear(shaped, blocks, n_out, species))

    def table_inputs(self, t: int) -> tuple[TableInput, ...]:
        return ()

    def pair_tables(self, t: int, pairs: Tensor) -> dict[str, Tensor]:
        return {}

    def compile(self) -> None:
        return

    def code(self) -> OperatorCode:
        return OperatorCode(record={"radial": "exact"})


def make_operators(model: LoweredModel, dtype: str, radial: str, scratch: Path) -> TorchOperators:
    """Return the operators, whose radial functions are always exact; ``scratch`` is not used."""
    return TorchOperators(model, dtype)


def flat(tensor: Tensor) -> Tensor:
    """Return the tensor with shape (rows, components * channels)."""
    return tensor.reshape(tensor.shape[0], -1)


def cast(value: object, dtype: torch.dtype) -> object:
    """Return a frozen dataclass with all its floating-point tensors in ``dtype``."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(cast(item, dtype) for item in value)
    if is_dataclass(value):
        return replace(value, **{f.name: cast(getattr(value, f.name), dtype) for f in fields(value)})
    return value
