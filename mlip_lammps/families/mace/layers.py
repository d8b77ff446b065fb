"""The layers of MACE as torch functions that call the operators of a backend."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.families.chain import Chain, EdgeGraph, Named, weighted_outputs
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.lowered import LoweredLayer, LoweredModel
from mlip_lammps.kernels.operators import LayerOperators, layer_operators
from mlip_lammps.kernels.torch.global_embedding import global_features
from mlip_lammps.kernels.torch.layer_operators import cast, flat
from mlip_lammps.kernels.torch.linear import irrep_linear
from mlip_lammps.kernels.torch.pair_repulsion import pair_repulsion
from mlip_lammps.model_file.contract import CHARGES
from mlip_lammps.structure.global_inputs import GlobalInput
from mlip_lammps.structure.latent_ewald import LATENT_CHARGES, LatentEwald

_GATES = {"silu": torch.nn.functional.silu, "tanh": torch.tanh, "abs": torch.abs, "identity": lambda values: values}


@dataclass(frozen=True)
class MaceLayers(LayeredModel):
    """A MACE model as a chain of layers."""

    lowered: LoweredModel
    global_inputs: tuple[GlobalInput, ...] = ()

    @property
    def atomic_numbers(self) -> tuple[int, ...]:
        return self.lowered.atomic_numbers

    @property
    def cutoff(self) -> float:
        return self.lowered.cutoff

    @property
    def feature_widths(self) -> tuple[int, ...]:
        return self.lowered.feature_widths

    @property
    def skip_widths(self) -> tuple[int, ...]:
        return self.lowered.skip_widths

    @property
    def message_widths(self) -> tuple[int, ...]:
        return self.lowered.message_widths

    @property
    def has_pair_functions(self) -> bool:
        return self.lowered.has_pair_functions

    @property
    def latent_ewald(self) -> LatentEwald | None:
        return self.lowered.latent_ewald

    @property
    def node_properties(self) -> tuple[str, ...]:
        return () if self.latent_ewald is None else (LATENT_CHARGES,)

    def chunk_atoms(self) -> int:
        return self.lowered.chunk_atoms()

    def operators(self, name: str, dtype: str, radial: str, scratch: Path) -> LayerOperators:
        return layer_operators(name, self.lowered, dtype, radial, scratch)

    def chain(self, dtype: str, operators: LayerOperators) -> "MaceChain":
        return MaceChain(self.lowered, dtype, operators)


class MaceChain(Chain):
    """Layers of a lowered model in one precision, with flat features of shape (rows, components * channels)."""

    def __init__(self, model: LoweredModel, dtype: str, operators: LayerOperators):
        super().__init__(dtype, model.n_layers)
        self.operators = operators
        self.layers = tuple(cast(layer, self.precision.features) for layer in model.layers)
        self.node_constants = model.node_constants
        self.energy_scale = model.energy_scale
        self.first = model.layers[0]
        self.global_embedding = model.global_embedding
        if self.global_embedding is None:
            self.element_sources, self.element_skips = self._of_elements(self.first.embedding)
        self.repulsion = model.repulsion
        self.has_pair_functions = model.has_pair_functions
        self.latent_ewald = model.latent_ewald

    def _of_elements(self, embedding: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return what the first layer takes from each element: its source, and its skip connection and residual.

        ``embedding`` has the shape (n_elements, 1, n_channels); both results have a row for each element.
        """
        first = self.first
        sources = irrep_linear(embedding, first.up, first.n_components_edge)
        skips = [flat(irrep_linear(embedding, first.skip, first.n_components_out))] if first.skip else []
        skips += [flat(sources)] if first.gate is not None else []
        sources = flat(sources)
        if first.attention is not None:
            scalars = flat(irrep_linear(embedding, first.attention.down, 1))
            sources, skips = torch.cat([sources, scalars], dim=1), [*skips, scalars]
        taken = torch.cat(skips, dim=1).to(self.precision.features) if skips else None
        return sources.to(self.precision.features), taken

    def embedding(self, graph: EdgeGraph) -> Tensor:
        """Return the features of each element before the first layer, shape (n_elements, 1, n_channels), float64."""
        if self.global_embedding is None:
            return self.first.embedding
        return self.first.embedding + global_features(self.global_embedding, graph.global_inputs)

    def of_elements(self, graph: EdgeGraph) -> tuple[Tensor, Tensor | None]:
        """Return what the first layer takes from each element, see ``_of_elements``."""
        if self.global_embedding is None:
            return self.element_sources, self.element_skips
        return self._of_elements(self.embedding(graph))

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        messages = self.messages(t, graph, features, skips)
        result, node_energies = self.update(t, graph, skips, messages, self.density(t, graph))
        handed = self.hand_on(t, graph, result) | self.charges(t, result)
        return handed | {f"messages_{t}": messages}, node_energies

    def layer_gradients(self, t: int, graph: EdgeGraph, variables: Named, named: Named) -> Named:
        """Differentiate the update with respect to the messages, then the messages with respect to the inputs.

        Messages are linear in the inputs: if they are kept, the compiler removes their recomputation. They are kept
        before they are divided by the density.
        """
        variables = dict(variables)
        skips = variables.get(f"skip_gradients_{t - 1}")
        again = self.messages(t, graph, variables.get(f"feature_gradients_{t - 1}"), skips)
        messages = named.get(f"messages_{t}", again).detach().requires_grad_(True)
        if self.layers[t - 1].attention is None:  # otherwise messages depend on them too
            variables.pop(f"skip_gradients_{t - 1}", None)
        density_again = self.density(t, graph)
        density = None if density_again is None else density_again.detach().requires_grad_(True)
        result, node_energies = self.update(t, graph, skips, messages, density)
        handed = self.hand_on(t, graph, result) | self.charges(t, result)
        outputs, upstream = weighted_outputs(t, handed, node_energies, named)
        into = {"messages": messages} | ({} if skips is None else {f"skip_gradients_{t - 1}": skips})
        if density is not None:
            into["density"] = density
        if t == 1 and self.repulsion is not None:
            into["repulsion"] = graph.edge_vectors
        found = torch.autograd.grad(outputs, list(into.values()), upstream, materialize_grads=True)
        direct = dict(zip(into, found, strict=True))
        of_edges, upstream = [again], [direct.pop("messages")]
        if density is not None:
            of_edges, upstream = [again, density_again], [*upstream, direct.pop("density")]
        through = torch.autograd.grad(of_edges, list(variables.values()), upstream)
        found = dict(zip(variables, through, strict=True))
        if "repulsion" in direct:
            direct["edge_gradients"] = direct.pop("repulsion")
        for name, gradient in direct.items():
            found[name] = found[name] + gradient if name in found else gradient
        return found

    def messages(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None = None) -> Tensor:
        """Return the messages of layer ``t`` (the first layer is 1) before the density divides them.

        Their shape is (n_local, message width).
        ``features`` are the features of layer t - 1 for all nodes, shape (n_nodes, width), and ``skips`` what layer t
        takes from the centres themselves; both are None for the first layer.
        """
        source, layer = graph.edge_neighbour, self.layers[t - 1]
        if features is None:
            features, skips = self.of_elements(graph)
            source = graph.species.index_select(0, source)
            skips = None if layer.attention is None else skips.index_select(0, graph.centre_species)
        scalars = None if layer.attention is None else skips[:, layer.width_skip - layer.width_scalars :]
        edges = graph.edge_vectors, graph.edge_centre, source
        of_pairs = self.pairs(graph), scalars, graph.pair_tables
        return self.operators.messages(t, features, *edges, graph.centre_species, *of_pairs)

    def density(self, t: int, graph: EdgeGraph) -> Tensor | None:
        """Return the sum over neighbours in the divisor of the messages of layer ``t``, or None if it has none.

        Its shape is (n_local,), in the precision of the features.
        """
        if self.layers[t - 1].density is None:
            return None
        edges = graph.edge_vectors, graph.edge_centre
        return self.operators.density(t, *edges, graph.centre_species, self.pairs(graph), graph.pair_tables)

    def pairs(self, graph: EdgeGraph) -> Tensor | None:
        """Return the pair of elements of each edge, or None if no radial function depends on it."""
        if not self.has_pair_functions:
            return None
        neighbour = graph.neighbour_species()
        return graph.centre_species.index_select(0, graph.edge_centre) * len(self.node_constants) + neighbour

    def update(
        self, t: int, graph: EdgeGraph, skips: Tensor | None, messages: Tensor, density: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute the result of layer ``t`` from its messages, and from its density if it has one.

        Returns
        -------
        result
            Node features, shape (n_local, width of layer t).
        node_energies
            Contribution of the layer to the atomic energies in eV, shape (n_local,), float64.
        """
        layer, species = self.layers[t - 1], graph.centre_species
        if density is not None:
            divisor = layer.density.offset + layer.density.factor * density
            messages = messages * divisor.reciprocal().unsqueeze(1)
        if t == 1:
            of_elements = self.of_elements(graph)[1]
            skips = None if of_elements is None else of_elements.index_select(0, species)
        if layer.gate is not None:
            skips, own = skips.split([layer.width_skip - layer.width_edge, layer.width_edge], dim=1)
            gated = self.gated(layer, messages + self.operators.linear("residual", t, own, species))
            messages = self.operators.linear("gated", t, gated, species)
        result = self.operators.linear("mix", t, self.operators.contract(t, messages, species), species)
        if layer.skip:
            result = result + skips[:, : layer.width_out]
        return result, self._energies(t, layer, graph, result)

    def hand_on(self, t: int, graph: EdgeGraph, result: Tensor) -> dict[str, Tensor]:
        """Return ``features_t`` and, if layer t + 1 takes something from the centre itself, ``skips_t``."""
        if t == self.n_layers:
            return {}
        species, following = graph.centre_species, self.layers[t]
        features = self.operators.linear("up", t + 1, result, species)
        skips = [self.operators.linear("skip", t + 1, result, species)] if following.skip else []
        skips += [features] if following.gate is not None else []
        if following.attention is not None:
            shaped = result.view(-1, following.n_components_in, following.n_channels)
            scalars = flat(irrep_linear(shaped, following.attention.down, 1))
            features, skips = torch.cat([features, scalars], dim=1), [*skips, scalars]
        handed = {f"features_{t}": features}
        return handed | {f"skips_{t}": torch.cat(skips, dim=1)} if skips else handed

    def gated(self, layer: LoweredLayer, messages: Tensor) -> Tensor:
        """Return the messages after the gate, shape (n_local, n_components_message * n_channels)."""
        gate = layer.gate
        shaped = messages.view(-1, layer.n_components_ungated, layer.n_channels)
        parts = [gate.scalar_scale * torch.nn.functional.silu(shaped[:, :1])]
        start = 1 + len(gate.orders)
        for number, order in enumerate(gate.orders, start=1):
            end = start + 2 * order + 1
            parts.append(shaped[:, start:end] * (gate.gate_scale * torch.sigmoid(shaped[:, number : number + 1])))
            start = end
        return flat(torch.cat(parts, dim=1))

    def charges(self, t: int, result: Tensor) -> Named:
        """Return the contribution of layer ``t`` to the latent charges by name; empty in a model without them."""
        if self.latent_ewald is None:
            return {}
        layer = self.layers[t - 1]
        if not layer.charge_matrices:
            return {CHARGES: torch.zeros(result.shape[0], dtype=torch.float64)}
        return {CHARGES: self._read_out(layer, layer.charge_matrices, result)}

    def _read_out(self, layer: LoweredLayer, matrices: tuple[Tensor, ...], result: Tensor) -> Tensor:
        """Return the readout of the scalars of ``result``, shape (n_local,), float64."""
        starts = [component * layer.n_channels for component in layer.readout_scalars]
        scalars = torch.cat([result[:, start : start + layer.n_channels] for start in starts], dim=1)
        scalars = scalars @ matrices[0]
        gate = _GATES[layer.readout_activation]
        for number, matrix in enumerate(matrices[1:]):
            scalars = layer.readout_activation_scale * gate(scalars) @ matrix
            if layer.readout_biases:
                scalars = scalars + layer.readout_biases[number]
        return scalars[:, 0].to(torch.float64)

    def _energies(self, t: int, layer: LoweredLayer, graph: EdgeGraph, result: Tensor) -> Tensor:
        energies = torch.zeros(graph.n_local, dtype=torch.float64)
        if layer.readout_matrices:
            energies = energies + self.energy_scale * self._read_out(layer, layer.readout_matrices, result)
        if t == 1:
            energies = energies + self._constants(graph).index_select(0, graph.centre_species)
            if self.repulsion is not None:
                edges = graph.edge_vectors, graph.edge_centre, graph.edge_neighbour
                energies = energies + pair_repulsion(self.repulsion, *edges, graph.centre_species, graph.species)
        return energies

    def _constants(self, graph: EdgeGraph) -> Tensor:
        """Return the energy of each element that does not depend on its neighbours in eV, shape (n_elements,)."""
        if self.global_embedding is None or self.global_embedding.readout is None:
            return self.node_constants
        return self.node_constants + self.embedding(graph)[:, 0] @ self.global_embedding.readout
