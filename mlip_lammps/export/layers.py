"""The chain of layers as torch functions: what is traced and compiled."""

from dataclasses import dataclass, fields, is_dataclass, replace

import torch
from torch import Tensor

from mlip_lammps.export.contract import GRAPH_TENSORS, ProgramSpec
from mlip_lammps.export.fast_layers import CpuKernels
from mlip_lammps.export.lowered import LoweredLayer, LoweredModel
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
    """The graph tensors of the contract; ``species`` of all nodes in the first layer alone."""

    centre_species: Tensor
    edge_vectors: Tensor
    edge_centre: Tensor
    edge_neighbour: Tensor
    species: Tensor | None = None

    @property
    def n_local(self) -> int:
        return self.centre_species.shape[0]


class LayerChain(torch.nn.Module):
    """Layers of a lowered model in one precision.

    With ``kernels`` the hot operations run in C++, else in plain torch. Features, messages and skips are flat: (rows,
    components * channels).
    """

    def __init__(self, model: LoweredModel, dtype: str, kernels: CpuKernels | None = None):
        super().__init__()
        self.kernels = kernels
        self.spec = model.spec
        self.precision = PRECISIONS[dtype]
        self.layers = tuple(_to(layer, self.precision.features) for layer in model.layers)
        self.wave_numbers = model.wave_numbers.to(self.precision.geometry)
        self.radial_prefactor = model.radial_prefactor.to(self.precision.geometry)
        self.node_constants = model.node_constants
        self.energy_scale = model.energy_scale
        # the first layer's sources and skip depend on the element alone
        first = model.layers[0]
        self.element_sources = _to(_flat(irrep_linear(first.embedding, first.up, 1)), self.precision.features)
        self.element_skips = None
        if first.skip:
            rows = torch.arange(len(model.node_constants))
            skips = irrep_linear(first.embedding, first.skip, first.n_components_out, rows)
            self.element_skips = _to(_flat(skips), self.precision.features)
        self.repulsion = _to(model.repulsion, torch.float64)

    def messages(self, t: int, graph: EdgeGraph, features: Tensor | None) -> Tensor:
        """Return what the atoms of layer ``t`` (1 is the first) receive, shape (n_local, message width).

        ``features`` are those of layer t - 1 for all nodes, shape (n_nodes, width); None for the first layer.
        """
        layer, source = self.layers[t - 1], graph.edge_neighbour
        if features is None:
            features, source = self.element_sources, graph.species.index_select(0, source)
        if self.kernels is not None:
            edges = graph.edge_vectors, graph.edge_centre, source
            return self.kernels.messages(t, features, *edges, graph.centre_species)
        received = self._convolution(layer, graph, features.view(-1, layer.n_components_in, layer.n_channels), source)
        by_element = graph.centre_species if layer.message_by_element else None
        return _flat(irrep_linear(received, layer.message, layer.n_components_message, by_element))

    def update(self, t: int, graph: EdgeGraph, skips: Tensor | None, messages: Tensor) -> tuple[Tensor, Tensor]:
        """Turn messages into the result of layer ``t``.

        Returns
        -------
        result
            Shape (n_local, width of layer t).
        node_energies
            What the layer adds to each atom's energy, shape (n_local,), float64, eV.
        """
        layer, species = self.layers[t - 1], graph.centre_species
        if t == 1 and self.element_skips is not None:
            skips = self.element_skips.index_select(0, species)
        if self.kernels is not None:
            result = self.kernels.linear("mix", t, self.kernels.contract(t, messages, species), species)
        else:
            shaped = messages.view(-1, layer.n_components_message, layer.n_channels)
            products = symmetric_contraction(shaped, species, layer.polynomial, layer.n_components_out)
            result = _flat(irrep_linear(products, layer.mix, layer.n_components_out))
        if skips is not None:
            result = result + skips
        return result, self._energies(t, layer, graph, result)

    def hand_on(self, t: int, graph: EdgeGraph, result: Tensor) -> dict[str, Tensor]:
        """Return ``features_t`` and, where layer t + 1 has a skip connection, ``skips_t``."""
        handed = {f"features_{t}": self._linear("up", t + 1, result, graph.centre_species)}
        if self.layers[t].skip:
            handed[f"skips_{t}"] = self._linear("skip", t + 1, result, graph.centre_species)
        return handed

    def _linear(self, kind: str, t: int, features: Tensor, species: Tensor) -> Tensor:
        if self.kernels is not None:
            return self.kernels.linear(kind, t, features, species)
        layer = self.layers[t - 1]
        shaped = features.view(-1, layer.n_components_in, layer.n_channels)
        if kind == "up":
            return _flat(irrep_linear(shaped, layer.up, layer.n_components_in))
        return _flat(irrep_linear(shaped, layer.skip, layer.n_components_out, species))

    def _convolution(self, layer: LoweredLayer, graph: EdgeGraph, features: Tensor, source: Tensor) -> Tensor:
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
            features,
            harmonics.to(self.precision.features),
            weights.view(-1, len(layer.paths), layer.n_channels),
            graph.edge_centre,
            source,
            graph.n_local,
            layer.paths,
            layer.n_components_mid,
        )

    def _energies(self, t: int, layer: LoweredLayer, graph: EdgeGraph, result: Tensor) -> Tensor:
        energies = torch.zeros(graph.n_local, dtype=torch.float64)
        if layer.readout_matrices:
            starts = [component * layer.n_channels for component in layer.readout_scalars]
            scalars = torch.cat([result[:, start : start + layer.n_channels] for start in starts], dim=1)
            scalars = scalars @ layer.readout_matrices[0]
            for matrix in layer.readout_matrices[1:]:
                scalars = layer.readout_activation_scale * torch.nn.functional.silu(scalars) @ matrix
            energies = energies + self.energy_scale * scalars[:, 0].to(torch.float64)
        if t == 1:
            energies = energies + self.node_constants.index_select(0, graph.centre_species)
            if self.repulsion is not None:
                edges = graph.edge_vectors, graph.edge_centre, graph.edge_neighbour
                energies = energies + pair_repulsion(self.repulsion, *edges, graph.centre_species, graph.species)
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
        graph = EdgeGraph(*(named[name] for name in GRAPH_TENSORS), named.get("species"))
        run = {"forward": self._forward, "last": self._last, "backward": self._backward}[self.kind]
        found = run(graph, named)
        return tuple(found[name] for name in self.spec.outputs)

    def _forward(self, graph: EdgeGraph, named: dict[str, Tensor]) -> dict[str, Tensor]:
        t, chain = self.t, self.chain
        messages = chain.messages(t, graph, named.get(f"features_{t - 1}"))
        result, node_energies = chain.update(t, graph, named.get(f"skips_{t - 1}"), messages)
        return chain.hand_on(t, graph, result) | {"node_energies": node_energies, f"messages_{t}": messages}

    def _last(self, graph: EdgeGraph, named: dict[str, Tensor]) -> dict[str, Tensor]:
        graph, variables = self._variables(graph, named)
        t, chain = self.t, self.chain
        messages = chain.messages(t, graph, variables.get(f"feature_gradients_{t - 1}"))
        _, node_energies = chain.update(t, graph, variables.get(f"skip_gradients_{t - 1}"), messages)
        weighted = node_energies * named["energy_weights"]
        gradients = torch.autograd.grad(weighted.sum(), list(variables.values()))
        return dict(zip(variables, gradients, strict=True)) | {"node_energies": node_energies.detach()}

    def _backward(self, graph: EdgeGraph, named: dict[str, Tensor]) -> dict[str, Tensor]:
        """Go back through the update at the messages, then through the messages.

        Messages are linear in what comes in: where they are kept, the compiler drops working them out again.
        """
        graph, variables = self._variables(graph, named)
        t, chain = self.t, self.chain
        again = chain.messages(t, graph, variables.get(f"feature_gradients_{t - 1}"))
        messages = named.get(f"messages_{t}", again).detach().requires_grad_(True)
        skips = variables.pop(f"skip_gradients_{t - 1}", None)
        result, node_energies = chain.update(t, graph, skips, messages)
        handed = chain.hand_on(t, graph, result)
        total = (node_energies * named["energy_weights"]).sum()
        upstream = [named[_GRADIENT_OF[name.rpartition("_")[0]] + f"_{t}"] for name in handed]
        into = {"messages": messages} | ({} if skips is None else {f"skip_gradients_{t - 1}": skips})
        if t == 1 and chain.repulsion is not None:
            into["repulsion"] = graph.edge_vectors
        upstream = [torch.ones_like(total), *upstream]
        found = torch.autograd.grad([total, *handed.values()], list(into.values()), upstream, materialize_grads=True)
        direct = dict(zip(into, found, strict=True))
        through = torch.autograd.grad(again, list(variables.values()), direct.pop("messages"))
        found = dict(zip(variables, through, strict=True))
        if "repulsion" in direct:
            found["edge_gradients"] = found["edge_gradients"] + direct.pop("repulsion")
        return found | direct

    def _variables(self, graph: EdgeGraph, named: dict[str, Tensor]) -> tuple[EdgeGraph, dict[str, Tensor]]:
        """Return the graph and what comes in as leaves of a new graph of gradients, by the names of their gradients."""
        before = self.t - 1
        sources = {
            "edge_gradients": graph.edge_vectors,
            f"feature_gradients_{before}": named.get(f"features_{before}"),
            f"skip_gradients_{before}": named.get(f"skips_{before}"),
        }
        variables = {
            name: tensor.detach().requires_grad_(True) for name, tensor in sources.items() if tensor is not None
        }
        return replace(graph, edge_vectors=variables["edge_gradients"]), variables


_GRADIENT_OF = {"features": "feature_gradients", "skips": "skip_gradients"}


def _flat(tensor: Tensor) -> Tensor:
    return tensor.reshape(tensor.shape[0], -1)


def _to(value, dtype: torch.dtype):
    """Return a frozen dataclass with every floating tensor inside it in ``dtype``."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, tuple):
        return tuple(_to(item, dtype) for item in value)
    if is_dataclass(value):
        return replace(value, **{f.name: _to(getattr(value, f.name), dtype) for f in fields(value)})
    return value
