"""The layers of gated convolutions as torch functions that call the operators of a backend."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.families.chain import Chain, EdgeGraph, Named, weighted_outputs
from mlip_lammps.families.gated.activations import activation
from mlip_lammps.families.gated.lowering import GatePart, LoweredGatedModel
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.operators import LayerOperators, layer_operators
from mlip_lammps.kernels.torch.layer_operators import flat
from mlip_lammps.kernels.torch.linear import irrep_linear
from mlip_lammps.kernels.torch.pair_repulsion import pair_repulsion


@dataclass(frozen=True)
class GatedLayers(LayeredModel):
    """A network of gated convolutions as a chain of layers."""

    model: LoweredGatedModel

    @property
    def lowered(self) -> LoweredModel:
        return self.model.convolutions

    @property
    def atomic_numbers(self) -> tuple[int, ...]:
        return self.lowered.atomic_numbers

    @property
    def cutoff(self) -> float:
        return self.lowered.cutoff

    @property
    def has_pair_functions(self) -> bool:
        return self.lowered.has_pair_functions

    @property
    def feature_widths(self) -> tuple[int, ...]:
        return tuple(layer.width_edge for layer in self.lowered.layers[1:])

    @property
    def skip_widths(self) -> tuple[int, ...]:
        return tuple(layer.width_message if layer.skip else 0 for layer in self.lowered.layers[1:])

    @property
    def message_widths(self) -> tuple[int, ...]:
        # the gate needs the whole message again, and the sum costs far more than to store it
        return tuple(layer.width_message for layer in self.lowered.layers[:-1])

    def chunk_atoms(self) -> int:
        return self.lowered.chunk_atoms()

    def operators(self, name: str, dtype: str, radial: str, scratch: Path) -> LayerOperators:
        return layer_operators(name, self.lowered, dtype, radial, scratch)

    def chain(self, dtype: str, operators: LayerOperators) -> "GatedChain":
        return GatedChain(self.model, dtype, operators)


class GatedChain(Chain):
    """Layers in one precision, with flat features."""

    def __init__(self, model: LoweredGatedModel, dtype: str, operators: LayerOperators):
        super().__init__(dtype, model.convolutions.n_layers)
        self.operators = operators
        self.layers, self.updates = model.convolutions.layers, model.updates
        first, features = self.layers[0], self.precision.features
        self.sources = flat(first.embedding).to(features)
        self.own = None
        if first.skip:
            shaped = model.embedding.view(len(model.embedding), first.n_components_in, -1)
            self.own = flat(irrep_linear(shaped, first.skip, first.n_components_message)).to(features)
        self.message_biases = [_cast(update.message_bias, features) for update in self.updates]
        self.up_biases = [_cast(update.up_bias, features) for update in self.updates]
        self.readout, self.scale, self.constants = model.readout.to(features), model.scale, model.constants
        self.hidden, self.readout_activation = [one.to(features) for one in model.hidden], model.readout_activation
        self.repulsion = model.convolutions.repulsion
        self.has_pair_functions = model.convolutions.has_pair_functions

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        messages = self.messages(t, graph, features)
        result, node_energies = self.update(t, graph, skips, messages)
        if t == 1 and self.repulsion is not None:
            node_energies = node_energies + self.repulsion_energies(graph)
        return self.hand_on(t, graph, result) | {f"messages_{t}": messages}, node_energies

    def layer_gradients(self, t: int, graph: EdgeGraph, variables: Named, named: Named) -> Named:
        """Differentiate the update with respect to the messages, then the messages with respect to the inputs.

        Messages are linear in the features: where they are kept, the compiler removes their recomputation.
        """
        variables = dict(variables)
        skips = variables.pop(f"skip_gradients_{t - 1}", None)
        again = self.messages(t, graph, variables.get(f"feature_gradients_{t - 1}"))
        messages = named[f"messages_{t}"].detach().requires_grad_(True)
        result, node_energies = self.update(t, graph, skips, messages)
        outputs, upstream = weighted_outputs(t, self.hand_on(t, graph, result), node_energies, named)
        into = {"messages": messages} | ({} if skips is None else {f"skip_gradients_{t - 1}": skips})
        found = dict(zip(into, torch.autograd.grad(outputs, list(into.values()), upstream), strict=True))
        through = torch.autograd.grad([again], list(variables.values()), [found.pop("messages")])
        found |= dict(zip(variables, through, strict=True))
        if t == 1 and self.repulsion is not None:
            total = (self.repulsion_energies(graph) * named["energy_weights"]).sum()
            (of_repulsion,) = torch.autograd.grad(total, graph.edge_vectors)
            found["edge_gradients"] = found["edge_gradients"] + of_repulsion
        return found

    def repulsion_energies(self, graph: EdgeGraph) -> Tensor:
        """Return the repulsion energies of the centres in eV, shape (n_local,), float64; in the first layer."""
        edges = graph.edge_vectors, graph.edge_centre, graph.edge_neighbour
        return pair_repulsion(self.repulsion, *edges, graph.centre_species, graph.species)

    def messages(self, t: int, graph: EdgeGraph, features: Tensor | None) -> Tensor:
        """Return the sum over neighbours of layer ``t`` after its linear map, shape (n_local, message width)."""
        source = graph.edge_neighbour
        if features is None:
            features, source = self.sources, graph.species.index_select(0, source)
        pairs = None
        if self.has_pair_functions:
            pairs = graph.centre_species.index_select(0, graph.edge_centre) * len(self.constants)
            pairs = pairs + graph.neighbour_species()
        edges = graph.edge_vectors, graph.edge_centre, source
        return self.operators.messages(
            t, features, *edges, graph.centre_species, pairs, tables=graph.pair_tables
        )

    def update(self, t: int, graph: EdgeGraph, skips: Tensor | None, messages: Tensor) -> tuple[Tensor, Tensor]:
        """Return the features after layer ``t`` and its energies in eV, shapes (n_local, width) and (n_local,)."""
        if t == 1 and self.own is not None:
            skips = self.own.index_select(0, graph.centre_species)
        if skips is not None:
            messages = messages + skips
        if self.message_biases[t - 1] is not None:
            messages = messages + self.message_biases[t - 1]
        result = self.gated(t, messages)
        if t < self.n_layers:
            return result, torch.zeros(graph.n_local, dtype=torch.float64)
        scale, constants = (one.index_select(0, graph.centre_species) for one in (self.scale, self.constants))
        for matrix in self.hidden:
            result = activation(self.readout_activation)(result @ matrix)
        return result, (result @ self.readout).to(torch.float64) * scale + constants

    def hand_on(self, t: int, graph: EdgeGraph, result: Tensor) -> Named:
        """Return ``features_t`` and, if layer t + 1 has a self-connection, ``skips_t``."""
        if t == self.n_layers:
            return {}
        features = self.operators.linear("up", t + 1, result, graph.centre_species)
        if self.up_biases[t] is not None:
            features = features + self.up_biases[t]
        if not self.layers[t].skip:
            return {f"features_{t}": features}
        return {
            f"features_{t}": features,
            f"skips_{t}": self.operators.linear("skip", t + 1, result, graph.centre_species),
        }

    def gated(self, t: int, messages: Tensor) -> Tensor:
        """Return the features after the gate of layer ``t``, flat."""
        layer, update = self.layers[t - 1], self.updates[t - 1]
        shaped = messages.view(-1, layer.n_components_message, layer.n_channels)
        return torch.cat([_gate(part, shaped) for part in update.parts], dim=1)


def _gate(part: GatePart, shaped: Tensor) -> Tensor:
    scalars = shaped[:, part.scalar_start : part.scalar_start + part.n_copies]
    values = part.scale * activation(part.activation)(scalars)
    if part.start is None:
        return flat(values)
    vectors = shaped[:, part.start : part.start + part.n_copies * part.dim]
    vectors = vectors.reshape(-1, part.n_copies, part.dim, shaped.shape[2])
    return flat((vectors * values.unsqueeze(2)).transpose(1, 2))


def _cast(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.to(dtype)

