"""TensorNet as a chain of layers: the embedding, and one layer for each interaction.

Sums over neighbours and linear maps of tensors are those of the kernels; radial functions depend on the distance alone,
so they are tables. Tensors are rows of nine components, see `tensors`. An atom sends them after the division by their
norm and the first linear map of the next interaction.

If messages contain the tensors of the centre (``TensorNetSpec.has_own_messages``), no atom needs those of another, and
the whole potential is one layer.
"""

from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.families.chain import Chain, EdgeGraph, Named, weighted_outputs
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.families.tensornet.lowering import by_part, lowered_sums, pair_embedding, repulsion_tables
from mlip_lammps.families.tensornet.readout import gated_network
from mlip_lammps.families.tensornet.spec import READOUT_MAPS, TensorNetModel
from mlip_lammps.families.tensornet.tensors import (
    N_COMPONENTS,
    PARTS,
    matrix_product,
    part_norms,
    scaled_parts,
    symmetric_product,
    total_norms,
)
from mlip_lammps.kernels.operators import LayerOperators, layer_operators
from mlip_lammps.kernels.torch.pair_repulsion import pair_repulsion
from mlip_lammps.kernels.torch.radial import ACTIVATIONS


class TensorNetLayers(LayeredModel):
    """A potential for some of its elements as a chain of layers."""

    has_operators = True

    def __init__(self, trained: TensorNetModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff
        self.sums = lowered_sums(trained, atomic_numbers)
        self.feature_widths = (N_COMPONENTS * trained.spec.units,) * (trained.n_layers - 1)

    @property
    def skip_widths(self) -> tuple[int, ...]:
        return tuple(2 * width for width in self.feature_widths)

    @property
    def message_widths(self) -> tuple[int, ...]:
        return self.feature_widths  # the sum costs more than to store it

    def chunk_atoms(self) -> int:
        return self.sums.chunk_atoms()

    def operators(self, name: str, dtype: str, radial: str, scratch: Path) -> LayerOperators:
        # the C++ kernels have no network with these functions
        return layer_operators("torch" if radial == "exact" else name, self.sums, dtype, radial, scratch)

    def chain(self, dtype: str, operators: LayerOperators) -> "TensorNetChain":
        return TensorNetChain(self, dtype, operators)


class TensorNetChain(Chain):
    """Distances in float64, tensors in the precision of the features."""

    def __init__(self, model: TensorNetLayers, dtype: str, operators: LayerOperators):
        super().__init__(dtype, model.n_layers)
        trained, self.operators = model.trained, operators
        self.spec = spec = trained.spec
        rows = [spec.atomic_numbers.index(number) for number in model.atomic_numbers]
        self.n_elements, features = len(rows), self.precision.features
        self.pairs = pair_embedding(trained, rows).to(features).contiguous()
        self.ones = torch.ones(1, spec.units, dtype=features)
        self.repulsion = repulsion_tables(trained, model.atomic_numbers)
        weights = Weights(trained.weights, features)
        self.norms = [
            [weights[f"{name}.{part}"] for part in ("weight", "bias")]
            for name in ("tensor_embedding.init_norm", "out_norm")
        ]
        self.linear = {name: weights.linear(name) for name in READOUT_MAPS}
        weight, bias = weights.linear("tensor_embedding.linears_scalar.1")
        self.scalars = [
            weights.linear("tensor_embedding.linears_scalar.0"),
            (by_part(weight, spec.units).contiguous(), by_part(bias, spec.units).contiguous()),
        ]
        self.activation = ACTIVATIONS["silu" if spec.activation == "swish" else spec.activation]
        self.scale = float(trained.weights["scale"])
        self.constants = torch.from_numpy(trained.weights["constants"]).to(torch.float64)[rows].contiguous()

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        messages = self.messages(t, graph, features)
        handed, node_energies = self.update(t, graph, skips, messages)
        if t < self.n_layers:
            handed[f"messages_{t}"] = messages[0]
        return handed, node_energies + self.pair_energies(t, graph)

    def layer_gradients(self, t: int, graph: EdgeGraph, variables: Named, named: Named) -> Named:
        """Differentiate the update with respect to the messages, then the messages with respect to the inputs.

        Messages are linear in the features: where they are kept, the compiler removes their recomputation.
        """
        variables = dict(variables)
        skips = variables.pop(f"skip_gradients_{t - 1}", None)
        again = self.messages(t, graph, variables.get(f"feature_gradients_{t - 1}"))
        messages = named[f"messages_{t}"].detach().requires_grad_(True)
        handed, node_energies = self.update(t, graph, skips, [messages])
        outputs, upstream = weighted_outputs(t, handed, node_energies, named)
        into = {"messages": messages} | ({} if skips is None else {f"skip_gradients_{t - 1}": skips})
        found = dict(zip(into, torch.autograd.grad(outputs, list(into.values()), upstream), strict=True))
        sums, upstream = again, [found.pop("messages")]
        if t == 1 and self.repulsion is not None:
            sums, upstream = [*sums, self.pair_energies(t, graph)], [*upstream, named["energy_weights"]]
        through = torch.autograd.grad(sums, list(variables.values()), upstream)
        return found | dict(zip(variables, through, strict=True))

    def messages(self, t: int, graph: EdgeGraph, features: Tensor | None) -> list[Tensor]:
        """Return the sum over neighbours of layer ``t``, flat; of all interactions if the layer contains them."""
        edges = graph.edge_vectors, graph.edge_centre
        if t > 1:
            return [self.operators.received(t, features, *edges, graph.edge_neighbour, graph.centre_species)]
        pairs = graph.centre_species.index_select(0, graph.edge_centre) * self.n_elements + graph.neighbour_species()
        found = [self.operators.received(1, self.pairs, *edges, pairs, graph.centre_species)]
        if self.spec.has_own_messages:
            sources = torch.zeros_like(graph.edge_centre)
            for block in range(self.spec.n_blocks):
                found.append(self.operators.received(2 + block, self.ones, *edges, sources, graph.centre_species))
        return found

    def pair_energies(self, t: int, graph: EdgeGraph) -> Tensor:
        """Return the repulsion energies of the centres in eV, shape (n_local,), in the first layer; otherwise zeros."""
        if t > 1 or self.repulsion is None:
            return torch.zeros(graph.n_local, dtype=torch.float64)
        species = graph.species
        return pair_repulsion(
            self.repulsion, graph.edge_vectors, graph.edge_centre, graph.edge_neighbour, graph.centre_species, species
        )

    def update(self, t: int, graph: EdgeGraph, skips: Tensor | None, messages: list[Tensor]) -> tuple[Named, Tensor]:
        """Return the features and skip connections after layer ``t``, and its energies in eV without the repulsion."""
        species = graph.centre_species
        if t == 1:
            tensors = self._embedded(messages[0], species)
            for block, sums in enumerate(messages[1:]):
                own, mapped = self._before(2 + block, tensors, species)
                message = scaled_parts(mapped, sums.unflatten(1, (len(PARTS), -1)))
                tensors = self._after(2 + block, own, mapped, message, species)
        else:
            own, mapped = skips.unflatten(1, (2, N_COMPONENTS, -1)).unbind(1)
            tensors = self._after(t, own, mapped, messages[0].unflatten(1, (N_COMPONENTS, -1)), species)
        if t == self.n_layers:
            energies = self._readout(tensors).to(torch.float64)
            return {}, energies * self.scale + self.constants.index_select(0, species)
        own, mapped = self._before(t + 1, tensors, species)
        handed = {f"features_{t}": mapped.flatten(1), f"skips_{t}": torch.cat([own, mapped], dim=1).flatten(1)}
        return handed, torch.zeros(graph.n_local, dtype=torch.float64)

    def _embedded(self, sums: Tensor, species: Tensor) -> Tensor:
        """Return the tensors of the embedding, shape (n_local, 9, units)."""
        norms = total_norms(sums.unflatten(1, (N_COMPONENTS, -1)))[:, 0]
        hidden = torch.nn.functional.layer_norm(norms, norms.shape[1:], *self.norms[0])
        for weight, bias in self.scalars:
            hidden = self.activation(hidden @ weight + bias)
        return scaled_parts(self._mapped("mix", 1, sums, species), hidden.unflatten(1, (len(PARTS), -1)))

    def _before(self, t: int, tensors: Tensor, species: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tensors over their norm, and their linear map before the sum of layer ``t``."""
        own = tensors / (total_norms(tensors) + 1.0)
        return own, self._mapped("skip", t, own.flatten(1), species)

    def _after(self, t: int, own: Tensor, mapped: Tensor, message: Tensor, species: Tensor) -> Tensor:
        """Return the tensors after layer ``t``."""
        if self.spec.group == "O(3)":
            product = symmetric_product(mapped, message)
        else:
            product = 2.0 * matrix_product(mapped, message)
        product = product / (total_norms(product) + 1.0)
        change = self._mapped("mix", t, product.flatten(1), species)
        return own + change + matrix_product(change, change)

    def _mapped(self, kind: str, t: int, flat: Tensor, species: Tensor) -> Tensor:
        return self.operators.linear(kind, t, flat, species).unflatten(1, (N_COMPONENTS, -1))

    def _readout(self, tensors: Tensor) -> Tensor:
        """Return the output of the network, shape (n_local,)."""
        norms = part_norms(tensors).flatten(1)
        normalised = torch.nn.functional.layer_norm(norms, norms.shape[1:], *self.norms[1])
        return gated_network(self._linear, self._linear("linear", normalised))

    def _linear(self, name: str, values: Tensor) -> Tensor:
        weight, bias = self.linear[name]
        return values @ weight + bias
