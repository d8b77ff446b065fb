"""A chain of layers as torch functions with their gradients, for tracing and compilation."""

from abc import abstractmethod
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from mlip_lammps.kernels.operators import LayerOperators, NoOperators
from mlip_lammps.kernels.precision import PRECISIONS
from mlip_lammps.model_file.contract import (
    ANGLES,
    CHARGE_GRADIENTS,
    CHARGES,
    DENSITY_TABLE,
    GRAPH_TENSORS,
    RADIAL_TABLE,
    TABLE_OF_PAIR,
    TABLE_PAIRS,
    ProgramSpec,
)

Named = dict[str, Tensor]
"""Tensors by name, see ``mlip_lammps.model_file.contract``."""

_TABLE_INPUTS = (RADIAL_TABLE, DENSITY_TABLE, TABLE_OF_PAIR)
_GRADIENT_OF = {"features": "feature_gradients", "skips": "skip_gradients"}


@dataclass(frozen=True)
class EdgeGraph:
    """Graph tensors of a program.

    Attributes
    ----------
    species
        Species of all nodes; only in the first layer.
    edge_species
        Species of the neighbours, shape (n_edges,); in further layers of a model that needs them.
    global_inputs
        Numbers of the whole system, shape (n_global_inputs,), float64; in the first layer of a model that takes them.
    angle_edges
        Pairs of edges of one centre that are shorter than ``LayeredModel.angle_cutoff``, each pair once, shape
        (n_angles, 2), int64; in models that have angles. Padding is between edges beyond the cutoff.
    pair_tables
        Tables of pairs of elements by name, see ``ProgramSpec``; empty for most models.
    """

    centre_species: Tensor
    edge_vectors: Tensor
    edge_centre: Tensor
    edge_neighbour: Tensor
    species: Tensor | None = None
    edge_species: Tensor | None = None
    global_inputs: Tensor | None = None
    angle_edges: Tensor | None = None
    pair_tables: Named = field(default_factory=dict)

    def neighbour_species(self) -> Tensor:
        """Return the species of the neighbour of each edge, shape (n_edges,)."""
        if self.species is not None:
            return self.species.index_select(0, self.edge_neighbour)
        return self.edge_species

    @property
    def n_local(self) -> int:
        return self.centre_species.shape[0]


class Chain(torch.nn.Module):
    """Layers of a model in one precision; a model family subclasses it and implements ``layer``.

    Parameters
    ----------
    dtype
        ``float64``, ``float32`` or ``mixed``.
    n_layers
        Number of layers; the first one has index 1.

    Attributes
    ----------
    operators
        Operators of a backend that the layers call.
    """

    operators: LayerOperators | NoOperators = NoOperators()

    def __init__(self, dtype: str, n_layers: int):
        super().__init__()
        self.precision = PRECISIONS[dtype]
        self.n_layers = n_layers

    @abstractmethod
    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        """Run layer ``t`` with differentiable operations.

        Parameters
        ----------
        graph
            Centres and their edges within the cutoff. Edges slightly beyond the cutoff must contribute zero.
        features
            ``features_{t - 1}`` of all nodes, shape (n_nodes, width); None in the first layer, which uses
            ``graph.species``.
        skips
            ``skips_{t - 1}`` of the centres; None if the previous layer has no skip connection.

        Returns
        -------
        handed
            ``features_t`` and, if the model has them, ``skips_t`` and ``messages_t`` (kept for ``layer_gradients``),
            each of shape (n_local, width), in the precision of the features. For the last layer ``node_properties`` if
            the model has them, shape (n_local, n_properties), float64. For every layer of a model with latent charges
            ``charges``, its contribution to them, shape (n_local,), float64.
        node_energies
            Contribution of the layer to the atomic energies in eV, shape (n_local,), float64.
        """

    def layer_gradients(self, t: int, graph: EdgeGraph, variables: Named, named: Named) -> Named:
        """Return the gradients of layer ``t`` by name; ``t`` is not the last layer.

        Parameters
        ----------
        graph
            Graph whose ``edge_vectors`` are an autograd leaf.
        variables
            Inputs of the layer as autograd leaves, by the names of their gradients.
        named
            All inputs of the program: energy weights, gradients of the layer's outputs, and kept messages.
        """
        features, skips = (variables.get(f"{kind}_gradients_{t - 1}") for kind in ("feature", "skip"))
        handed, node_energies = self.layer(t, graph, features, skips)
        outputs, upstream = weighted_outputs(t, handed, node_energies, named)
        found = torch.autograd.grad(outputs, list(variables.values()), upstream, materialize_grads=True)
        return dict(zip(variables, found, strict=True))


def weighted_outputs(t: int, handed: Named, node_energies: Tensor, named: Named) -> tuple[list[Tensor], list[Tensor]]:
    """Return the outputs of layer ``t`` to differentiate, and the upstream gradients."""
    total = (node_energies * named["energy_weights"]).sum()
    if CHARGES in handed:
        total = total + (handed[CHARGES] * named[CHARGE_GRADIENTS]).sum()
    followed = {name: tensor for name, tensor in handed.items() if name.rpartition("_")[0] in _GRADIENT_OF}
    upstream = [named[f"{_GRADIENT_OF[name.rpartition('_')[0]]}_{t}"] for name in followed]
    if not total.requires_grad:  # the layer adds constants or nothing to the energies
        return list(followed.values()), upstream
    return [total, *followed.values()], [torch.ones_like(total), *upstream]


class Program(torch.nn.Module):
    """A compiled program: a layer, a layer with its gradient, or the tables of pairs of elements of a layer.

    Its inputs and outputs are those of its ``ProgramSpec``.
    """

    def __init__(self, chain: Chain, spec: ProgramSpec):
        super().__init__()
        self.chain = chain
        self.spec = spec
        kind, _, number = spec.name.partition("_")
        self.kind = kind
        self.t = int(number) if number else chain.n_layers

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        named = dict(zip(self.spec.inputs, tensors, strict=True))
        if self.kind == "tables":
            found = self.chain.operators.pair_tables(self.t, named[TABLE_PAIRS])
            return tuple(found[name] for name in self.spec.outputs)
        further = (named.get(name) for name in ("species", "edge_species", "global_inputs", ANGLES))
        tables = {name: tensor for name, tensor in named.items() if name.startswith(_TABLE_INPUTS)}
        graph = EdgeGraph(*(named[name] for name in GRAPH_TENSORS), *further, tables)
        run = {"forward": self._forward, "last": self._last, "backward": self._backward}[self.kind]
        found = run(graph, named)
        return tuple(found[name] for name in self.spec.outputs)

    def _forward(self, graph: EdgeGraph, named: Named) -> Named:
        handed, node_energies = self.chain.layer(self.t, graph, *self._incoming(named))
        return handed | {"node_energies": node_energies}

    def _last(self, graph: EdgeGraph, named: Named) -> Named:
        graph, variables = self._variables(graph, named)
        before = self.t - 1
        incoming = variables.get(f"feature_gradients_{before}"), variables.get(f"skip_gradients_{before}")
        handed, node_energies = self.chain.layer(self.t, graph, *incoming)
        weighted = node_energies * named["energy_weights"]
        gradients = torch.autograd.grad(weighted.sum(), list(variables.values()), materialize_grads=True)
        results = {name: tensor.detach() for name, tensor in handed.items()} | {"node_energies": node_energies.detach()}
        return dict(zip(variables, gradients, strict=True)) | results

    def _backward(self, graph: EdgeGraph, named: Named) -> Named:
        graph, variables = self._variables(graph, named)
        return self.chain.layer_gradients(self.t, graph, variables, named)

    def _incoming(self, named: Named) -> tuple[Tensor | None, Tensor | None]:
        return named.get(f"features_{self.t - 1}"), named.get(f"skips_{self.t - 1}")

    def _variables(self, graph: EdgeGraph, named: Named) -> tuple[EdgeGraph, Named]:
        """Return the graph and the inputs of the layer, detached as new autograd leaves, by gradient name."""
        features, skips = self._incoming(named)
        sources = {
            "edge_gradients": graph.edge_vectors,
            f"feature_gradients_{self.t - 1}": features,
            f"skip_gradients_{self.t - 1}": skips,
        }
        variables = {
            name: tensor.detach().requires_grad_(True) for name, tensor in sources.items() if tensor is not None
        }
        return replace(graph, edge_vectors=variables["edge_gradients"]), variables
