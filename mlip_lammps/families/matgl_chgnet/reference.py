"""Reference implementation of MatGL's CHGNet: one layer after the other, for all atoms, edges and angles."""

import numpy as np
import torch
from torch import Tensor

from mlip_lammps.families.bond_graph.reverse import reverse_bonds
from mlip_lammps.families.matgl_chgnet.bases import activation_function, angular_functions, radial_functions
from mlip_lammps.families.matgl_chgnet.spec import (
    MAGMOMS,
    MatGLCHGNetModel,
    atom_layer,
    bond_layer,
    readout_names,
)
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.structure.angles import angles_of


class MatGLCHGNetReference(ReferenceModel):
    """MatGL's CHGNet in float64.

    Notes
    -----
    A pair of atoms has two directed edges with features of their own. An atom sums the messages of the edges that come
    in. The angle between an edge that comes in and one that goes out at an atom gives a message to the second one. The
    features of the edges from the centre to its neighbour, ``outgoing``, are those of ``incoming`` of the reverse edge,
    and depend on the same distance; both are computed with the vector of their own centre.
    """

    def __init__(self, trained: MatGLCHGNetModel):
        super().__init__(trained.atomic_numbers, trained.cutoff)
        self.spec = trained.spec
        self.weights = {name: torch.from_numpy(array).to(torch.float64) for name, array in trained.weights.items()}
        self.activation = activation_function(trained.spec)

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        nodes = self._nodes(self.spec.n_layers, species, edge_vectors, edge_centre, edge_neighbour)
        n_linear = len(self.spec.readout_hidden) + 1
        energies, *gates = (self._network(name, nodes, n_linear)[:, 0] for name in readout_names(self.spec))
        for gate in gates:
            energies = energies * torch.sigmoid(gate)
        return self.weights["scale"] * energies + self.weights["constants"][species]

    def node_properties(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> dict[str, Tensor]:
        if not self.spec.has_moments:
            return {}
        nodes = self._nodes(self.spec.n_layers - 1, species, edge_vectors, edge_centre, edge_neighbour)
        return {MAGMOMS: self._linear("sitewise_readout", nodes)[:, 0]}

    def _nodes(
        self, n_layers: int, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        """Return the features of atoms after some layers, shape (n_atoms, atom_width)."""
        spec, weights = self.spec, self.weights
        distances = torch.linalg.norm(edge_vectors, dim=1)
        radial = radial_functions(spec, distances, weights["bond_expansion.frequencies"], spec.cutoff)
        frequencies = weights["threebody_bond_expansion.frequencies"]
        bond_radial = radial_functions(spec, distances, frequencies, spec.bond_cutoff)
        incoming = self._linear("bond_embedding.layers.0", radial)
        if spec.has_bond_activation:
            incoming = self.activation(incoming)
        outgoing = incoming

        pairs = angles_of(edge_centre.numpy(), edge_vectors.detach().numpy(), spec.bond_cutoff)
        first, second = torch.from_numpy(np.concatenate([pairs, pairs[:, ::-1]])).T
        units = edge_vectors / distances[:, None]
        functions = angular_functions(units[first], units[second], weights["angle_expansion.frequencies"])
        angles = self._linear("angle_embedding.layers.0", functions)
        if spec.has_angle_activation:
            angles = self.activation(angles)
        bonds, reverse = reverse_bonds(edge_vectors, edge_centre, edge_neighbour, spec.bond_cutoff)

        nodes = weights["atom_embedding.weight"][species]
        for t in range(n_layers):
            layer, norms = atom_layer(t), f"atom_graph_layers.{t}"
            if spec.edge_hidden is not None:
                edge_weights = self._edge_weights("bond_bond_weights", f"{layer}.edge_weight_func", radial)
                own, other = nodes[edge_centre], nodes[edge_neighbour]
                updates = [torch.cat([other, incoming, own], dim=1), torch.cat([own, outgoing, other], dim=1)]
                updates = [self._gated(f"{layer}.edge_update_func", inputs, spec.edge_hidden) for inputs in updates]
                incoming, outgoing = incoming + updates[0] * edge_weights, outgoing + updates[1] * edge_weights
            inputs = torch.cat([nodes[edge_neighbour], incoming, nodes[edge_centre]], dim=1)
            messages = self._gated(f"{layer}.node_update_func", inputs, spec.atom_hidden)
            messages = messages * self._edge_weights("atom_bond_weights", f"{layer}.node_weight_func", radial)
            sums = torch.zeros_like(nodes).index_add(0, edge_centre, messages)
            nodes = nodes + self._linear(f"{layer}.node_out_func", sums)
            if spec.has_norm:
                nodes = self._normalised(f"{norms}.atom_norm", nodes)
                incoming, outgoing = (self._normalised(f"{norms}.bond_norm", one) for one in (incoming, outgoing))
            if t == spec.n_layers - 1:
                break
            layer, own = bond_layer(t), nodes[edge_centre[first]]
            inputs = torch.cat([incoming[first], angles, own, outgoing[second]], dim=1)
            bond_weights = self._linear("threebody_bond_weights", bond_radial)
            if spec.has_bond_layer_weights:
                bond_weights = bond_weights * self._linear(f"{layer}.node_weight_func", bond_radial)
            messages = self._gated(f"{layer}.node_update_func", inputs, spec.bond_hidden)
            messages = messages * bond_weights[first] * bond_weights[second]
            sums = torch.zeros_like(incoming).index_add(0, second, messages)
            received = torch.zeros_like(sums).index_add(0, bonds, sums[reverse])
            incoming, outgoing = (
                edges + self._linear(f"{layer}.node_out_func", one)
                for edges, one in ((incoming, received), (outgoing, sums))
            )
            if spec.angle_hidden is not None:
                inputs = torch.cat([incoming[first], angles, own, outgoing[second]], dim=1)
                angles = angles + self._gated(f"{layer}.edge_update_func", inputs, spec.angle_hidden)
        return nodes

    def _edge_weights(self, shared: str, own: str, radial: Tensor) -> Tensor:
        """Return the product of the weights of messages that all layers share, and of those of one layer."""
        has_weights = {shared: self.spec.has_shared_weights, own: self.spec.has_layer_weights}
        found = [self._linear(name, radial) for name, has_it in has_weights.items() if has_it]
        return found[0] if len(found) == 1 else found[0] * found[1]

    def _linear(self, name: str, values: Tensor) -> Tensor:
        return torch.nn.functional.linear(values, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _normalised(self, name: str, values: Tensor) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return torch.nn.functional.layer_norm(values, values.shape[1:], weight, bias)

    def _network(self, name: str, values: Tensor, n_linear: int) -> Tensor:
        """Return a network whose normalisations, if it has any, are those of ``MatGLCHGNetSpec.norms``."""
        has_norms = f"{name}.norms.0.weight" in self.weights
        for k in range(n_linear):
            values = self._linear(f"{name}.layers.{k}", values)
            is_last = k == n_linear - 1
            if has_norms and (is_last or self.spec.has_hidden_norms):
                values = self._normalised(f"{name}.norms.{k if self.spec.has_hidden_norms else 0}", values)
            if not is_last:
                values = self.activation(values)
        return values

    def _gated(self, name: str, inputs: Tensor, hidden: tuple[int, ...]) -> Tensor:
        """Return a network with an activation function times the sigmoid of another one."""
        value, gate = (self._network(f"{name}.{part}", inputs, len(hidden) + 1) for part in ("value", "gate"))
        return self.activation(value) * torch.sigmoid(gate)
