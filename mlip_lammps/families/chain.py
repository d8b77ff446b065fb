"""A chain of layers as torch functions, with their gradients: what is traced and compiled."""

from abc import abstractmethod
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mlip_lammps.kernels.precision import PRECISIONS
from mlip_lammps.model_file.contract import GRAPH_TENSORS, ProgramSpec

Named = dict[str, Tensor]
"""Tensors by their names in the contract."""

_GRADIENT_OF = {"features": "feature_gradients", "skips": "skip_gradients"}


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


class Chain(torch.nn.Module):
    """The layers of a model in one precision. A family derives from it and writes ``layer``.

    Parameters
    ----------
    dtype
        ``float64``, ``float32`` or ``mixed``.
    n_layers
        Layers, counted from 1.
    """

    def __init__(self, dtype: str, n_layers: int):
        super().__init__()
        self.precision = PRECISIONS[dtype]
        self.n_layers = n_layers

    @abstractmethod
    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        """Run layer ``t``, differentiably.

        Parameters
        ----------
        graph
            Centres with their edges inside the cutoff; edges a little beyond it must give nothing.
        features
            ``features_{t - 1}`` of all nodes, shape (n_nodes, width); None in the first layer, which has
            ``graph.species``.
        skips
            ``skips_{t - 1}`` of the centres; None where the layer before hands on none.

        Returns
        -------
        handed
            ``features_t`` and, where the model has them, ``skips_t`` and ``messages_t`` (what ``layer_gradients`` is
            given again), shape (n_local, width), in the precision of the features. The last layer hands on nothing.
        node_energies
            What the layer adds to each atom's energy, shape (n_local,), float64, eV.
        """

    def layer_gradients(self, t: int, graph: EdgeGraph, variables: Named, named: Named) -> Named:
        """Return the gradients of layer ``t``, which is not the last, by their names.

        Parameters
        ----------
        graph
            With ``edge_vectors`` that are a leaf.
        variables
            What comes in, as leaves, by the names of its gradients.
        named
            Every input of the program: energy weights, gradients of what the layer handed on, what it kept.
        """
        features, skips = (variables.get(f"{kind}_gradients_{t - 1}") for kind in ("feature", "skip"))
        handed, node_energies = self.layer(t, graph, features, skips)
        outputs, upstream = weighted_outputs(t, handed, node_energies, named)
        found = torch.autograd.grad(outputs, list(variables.values()), upstream, materialize_grads=True)
        return dict(zip(variables, found, strict=True))


def weighted_outputs(t: int, handed: Named, node_energies: Tensor, named: Named) -> tuple[list[Tensor], list[Tensor]]:
    """Return what the gradients of layer ``t`` are taken of, and the gradients that come in."""
    total = (node_energies * named["energy_weights"]).sum()
    followed = {name: tensor for name, tensor in handed.items() if name.rpartition("_")[0] in _GRADIENT_OF}
    upstream = [named[f"{_GRADIENT_OF[name.rpartition('_')[0]]}_{t}"] for name in followed]
    return [total, *followed.values()], [torch.ones_like(total), *upstream]


class Program(torch.nn.Module):
    """One program of the contract: a layer, or a layer with its gradient.

    Called with the tensors that its ``ProgramSpec`` lists; returns the tensors that it lists.
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
        graph = EdgeGraph(*(named[name] for name in GRAPH_TENSORS), named.get("species"))
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
        _, node_energies = self.chain.layer(self.t, graph, *incoming)
        weighted = node_energies * named["energy_weights"]
        gradients = torch.autograd.grad(weighted.sum(), list(variables.values()), materialize_grads=True)
        return dict(zip(variables, gradients, strict=True)) | {"node_energies": node_energies.detach()}

    def _backward(self, graph: EdgeGraph, named: Named) -> Named:
        graph, variables = self._variables(graph, named)
        return self.chain.layer_gradients(self.t, graph, variables, named)

    def _incoming(self, named: Named) -> tuple[Tensor | None, Tensor | None]:
        return named.get(f"features_{self.t - 1}"), named.get(f"skips_{self.t - 1}")

    def _variables(self, graph: EdgeGraph, named: Named) -> tuple[EdgeGraph, Named]:
        """Return the graph and what comes in as leaves of a new graph of gradients, by the names of their gradients."""
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
