"""The chain of layers as torch functions: what is traced and compiled."""

from dataclasses import dataclass, fields, is_dataclass, replace

import torch
from torch import Tensor

from mlip_lammps.export.contract import ProgramSpec
from mlip_lammps.export.fast_layers import CpuKernels
from mlip_lammps.export.lowering import LoweredLayer, LoweredModel
from mlip_lammps.kernels.edge_convolution import edge_convolution
from mlip_lammps.kernels.linear import irrep_linear
from mlip_lammps.kernels.pair_repulsion import pair_repulsion
from mlip_lammps.kernels.radial import radial_weights
from mlip_lammps.kernels.spherical_harmonics import spherical_harmonics
from mlip_lammps.kernels.symmetric_contraction import symmetric_contraction


@dataclass(frozen=True)
class Precision:
    """Number types of one export mode: of geometry and energies, and of features."""

    geometry: torch.dtype
    features: torch.dtype


PRECISIONS = {
    "float64": Precision(torch.float64, torch.float64),
    "float32": Precision(torch.float32, torch.float32),
    "mixed": Precision(torch.float64, torch.float32),
}


@dataclass(frozen=True)
class EdgeGraph:
    """The graph tensors of the contract."""

    centre_species: Tensor
    species: Tensor
    edge_vectors: Tensor
    edge_centre: Tensor
    edge_neighbour: Tensor

    @property
    def n_local(self) -> int:
        return self.centre_species.shape[0]


class LayerChain(torch.nn.Module):
    """Layers of a lowered model in one precision, on one device.

    With ``kernels`` the two hot operations run in C++, else in plain torch.
    """

    def __init__(self, model: LoweredModel, dtype: str, device: str = "cpu", kernels: CpuKernels | None = None):
        super().__init__()
        self.kernels = kernels
        self.spec = model.spec
        self.precision = PRECISIONS[dtype]
        self.layers = tuple(_to(layer, self.precision.features, device) for layer in model.layers)
        self.wave_numbers = model.wave_numbers.to(device, self.precision.geometry)
        self.radial_prefactor = model.radial_prefactor.to(device, self.precision.geometry)
        self.node_constants = model.node_constants.to(device)
        self.energy_scale = model.energy_scale
        self.repulsion = _to(model.repulsion, torch.float64, device)

    def messages(self, t: int, graph: EdgeGraph, features: Tensor | None) -> Tensor:
        """Return what the atoms of layer ``t`` (1 is the first) receive, shape (n_local, message width).

        ``features`` are those of layer t - 1 for all nodes, shape (n_nodes, width); None for the first layer.
        """
        layer = self.layers[t - 1]
        received = self._convolution(t, graph, self._node_features(t, graph, features))
        by_element = graph.centre_species if layer.message_by_element else None
        mixed = irrep_linear(received, layer.message, layer.n_components_message, by_element)
        return mixed.reshape(-1, layer.width_message)

    def update(
        self, t: int, graph: EdgeGraph, features: Tensor | None, messages: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Turn messages into features.

        Returns
        -------
        features
            Shape (n_local, width of layer t).
        node_energies
            What the layer adds to each atom's energy, shape (n_local,), float64, eV.
        """
        layer = self.layers[t - 1]
        messages = messages.view(-1, layer.n_components_message, layer.n_channels)
        products = self._products(t, messages, graph.centre_species)
        result = irrep_linear(products, layer.mix, layer.n_components_out)
        if layer.skip:
            own = self._node_features(t, graph, features).narrow(0, 0, graph.n_local)
            result = result + irrep_linear(own, layer.skip, layer.n_components_out, graph.centre_species)
        return result.reshape(-1, layer.width_out), self._energies(t, layer, graph, result)

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """Run layer ``t``: features and energies as from ``update``."""
        return self.update(t, graph, features, self.messages(t, graph, features))

    def _node_features(self, t: int, graph: EdgeGraph, features: Tensor | None) -> Tensor:
        layer = self.layers[t - 1]
        if layer.embedding is not None:
            return layer.embedding.index_select(0, graph.species)
        return features.view(-1, layer.n_components_in, layer.n_channels)

    def _convolution(self, t: int, graph: EdgeGraph, node_features: Tensor) -> Tensor:
        layer = self.layers[t - 1]
        if self.kernels is not None:
            return self._fast_convolution(t, graph, node_features)
        vectors = graph.edge_vectors.to(self.precision.geometry)
        distances = (vectors * vectors).sum(dim=1).sqrt()
        harmonics = spherical_harmonics(vectors / distances.unsqueeze(1), self.spec.l_max)
        radial = self.spec.radial
        weights = radial_weights(
            distances,
            self.wave_numbers,
            self.radial_prefactor,
            self.spec.cutoff,
            radial.cutoff_power,
            radial.cutoff_on == "basis",
            layer.radial_matrices,
            layer.radial_activation_scale,
        )
        return edge_convolution(
            irrep_linear(node_features, layer.up, layer.n_components_in),
            harmonics.to(self.precision.features),
            weights.view(-1, len(layer.paths), layer.n_channels),
            graph.edge_centre,
            graph.edge_neighbour,
            graph.n_local,
            layer.paths,
            layer.n_components_mid,
        )

    def _products(self, t: int, messages: Tensor, species: Tensor) -> Tensor:
        if self.kernels is not None:
            return self.kernels.contract(t, messages, species)
        layer = self.layers[t - 1]
        return symmetric_contraction(messages, species, layer.polynomial, layer.n_components_out)

    def _fast_convolution(self, t: int, graph: EdgeGraph, node_features: Tensor) -> Tensor:
        layer, source = self.layers[t - 1], graph.edge_neighbour
        if layer.embedding is not None:
            # features depend on the element alone: its row is the source
            node_features, source = layer.embedding, graph.species.index_select(0, source)
        features = irrep_linear(node_features, layer.up, layer.n_components_in)
        return self.kernels.convolve(
            t, features, graph.edge_vectors, graph.edge_centre, source, graph.centre_species
        )

    def _energies(self, t: int, layer: LoweredLayer, graph: EdgeGraph, features: Tensor) -> Tensor:
        energies = torch.zeros(graph.n_local, dtype=torch.float64, device=features.device)
        if layer.readout_matrices:
            scalars = torch.cat([features[:, start] for start in layer.readout_scalars], dim=1)
            scalars = scalars @ layer.readout_matrices[0]
            for matrix in layer.readout_matrices[1:]:
                scalars = layer.readout_activation_scale * torch.nn.functional.silu(scalars) @ matrix
            energies = energies + self.energy_scale * scalars[:, 0].to(torch.float64)
        if t == 1:
            energies = energies + self.node_constants.index_select(0, graph.centre_species)
        if self.repulsion is not None and t == len(self.layers):
            # the one layer that is differentiated by the edge vectors together with its energies
            edges = (graph.edge_vectors, graph.edge_centre, graph.edge_neighbour)
            energies = energies + pair_repulsion(self.repulsion, *edges, graph.species, graph.n_local)
        return energies


class Program(torch.nn.Module):
    """One program of the contract: a layer, or a layer with its gradient.

    Called with the tensors that its ``ProgramSpec`` lists; returns the tensors that it lists.
    """

    def __init__(self, chain: LayerChain, spec: ProgramSpec):
        super().__init__()
        self.chain = chain
        self.spec = spec
        kind, _, number = spec.name.partition("_")
        self.kind = kind
        self.t = int(number) if number else chain.spec.n_layers

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(self.spec.inputs, tensors, strict=True))
        graph = EdgeGraph(*tensors[:5])
        features = named.get(f"features_{self.t - 1}")
        if self.kind == "forward":
            messages = self.chain.messages(self.t, graph, features)
            return (*self.chain.update(self.t, graph, features, messages), messages)
        graph = replace(graph, edge_vectors=graph.edge_vectors.detach().requires_grad_(True))
        variables = [graph.edge_vectors]
        if features is not None:
            features = features.detach().requires_grad_(True)
            variables.append(features)
        if self.kind == "last":
            _, node_energies = self.chain.layer(self.t, graph, features)
            return (node_energies.detach(), *torch.autograd.grad(node_energies.sum(), variables))
        return self._backward(
            graph, features, variables, named[f"messages_{self.t}"], named[f"feature_gradients_{self.t}"]
        )

    def _backward(
        self, graph: EdgeGraph, features: Tensor | None, variables: list[Tensor], messages: Tensor, gradients: Tensor
    ) -> tuple[Tensor, ...]:
        """Go back through the update at the kept messages, then through the messages.

        The messages are linear in what comes in, so that the compiler drops working them out again.
        """
        kept = messages.detach().requires_grad_(True)
        result, node_energies = self.chain.update(self.t, graph, features, kept)
        total = node_energies.sum()
        direct = torch.autograd.grad(
            [total, result], [kept, *variables[1:]], [torch.ones_like(total), gradients], materialize_grads=True
        )
        again = self.chain.messages(self.t, graph, features)
        through = torch.autograd.grad(again, variables, direct[0])
        if features is None:
            return through
        return through[0], through[1] + direct[1]


def _to(value, dtype: torch.dtype, device: str):
    """Return a frozen dataclass with every floating tensor inside it in ``dtype`` on ``device``."""
    if isinstance(value, Tensor):
        return value.to(device, dtype) if value.is_floating_point() else value.to(device)
    if isinstance(value, tuple):
        return tuple(_to(item, dtype, device) for item in value)
    if is_dataclass(value):
        return replace(value, **{f.name: _to(getattr(value, f.name), dtype, device) for f in fields(value)})
    return value
