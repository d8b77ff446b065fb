"""Reference implementation of CHGNet: one layer after the other, for all atoms, bonds and angles."""

import numpy as np
import torch
from torch import Tensor

from mlip_lammps.families.bond_graph.reverse import reverse_bonds
from mlip_lammps.families.chgnet.bases import ACTIVATIONS, angular_functions, radial_functions
from mlip_lammps.families.chgnet.spec import MAGMOMS, CHGNetModel, linear_names
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.structure.angles import angles_of


class CHGNetReference(ReferenceModel):
    """CHGNet in float64.

    Notes
    -----
    Each layer updates the features of atoms, of bonds and of angles, in this order (Deng et al., Nat. Mach. Intell. 5,
    1031 (2023), equations 4 to 6). Edges longer than ``bond_cutoff`` keep the features of their distance. Both edges of
    a pair of atoms have the same features; those of a bond change with the angles at both of its atoms.
    """

    def __init__(self, trained: CHGNetModel):
        super().__init__(trained.atomic_numbers, trained.cutoff)
        self.spec = trained.spec
        self.weights = {name: torch.from_numpy(array).to(torch.float64) for name, array in trained.weights.items()}

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        nodes = self._nodes(self.spec.n_layers, species, edge_vectors, edge_centre, edge_neighbour)
        if self.spec.has_readout_norm:
            nodes = self._normalised("readout_norm", nodes)
        energies = self._network("mlp", nodes, len(self.spec.readout_hidden) + 1)[:, 0]
        return energies + self.weights["constants"][species]

    def node_properties(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> dict[str, Tensor]:
        nodes = self._nodes(self.spec.n_layers - 1, species, edge_vectors, edge_centre, edge_neighbour)
        return {MAGMOMS: self._linear("site_wise", nodes)[:, 0].abs()}

    def _nodes(
        self, n_layers: int, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        """Return the features of atoms after some layers, shape (n_atoms, atom_width)."""
        spec, weights = self.spec, self.weights
        distances = torch.linalg.norm(edge_vectors, dim=1)
        radial = self._radial("ag", distances, spec.cutoff)
        edges = self._linear("bond_embedding", radial)
        edge_weights = self._linear("bond_weights_ag", radial)
        bond_weights = self._linear("bond_weights_bg", self._radial("bg", distances, spec.bond_cutoff))

        pairs = angles_of(edge_centre.numpy(), edge_vectors.detach().numpy(), spec.bond_cutoff)
        # each pair gives a message to both of its bonds
        first, second = torch.from_numpy(np.concatenate([pairs, pairs[:, ::-1]])).T
        units = edge_vectors / distances[:, None]
        frequencies = weights["angle_basis_expansion.fourier_expansion.frequencies"]
        angles = self._linear("angle_embedding", angular_functions(units[first], units[second], frequencies))
        bonds, reverse = reverse_bonds(edge_vectors, edge_centre, edge_neighbour, spec.bond_cutoff)

        nodes = weights["atom_embedding.embedding.weight"][species]
        for t in range(n_layers):
            inputs = torch.cat([nodes[edge_centre], edges, nodes[edge_neighbour]], dim=1)
            messages = self._gated(f"atom_conv_layers.{t}.twoBody_atom", inputs, spec.atom_hidden) * edge_weights
            sums = torch.zeros_like(nodes).index_add(0, edge_centre, messages)
            nodes = nodes + self._linear(f"atom_conv_layers.{t}.mlp_out.layers.1", sums)
            if t == spec.n_layers - 1:
                break
            inputs = torch.cat([edges[first], edges[second], angles, nodes[edge_centre[first]]], dim=1)
            messages = self._gated(f"bond_conv_layers.{t}.twoBody_bond", inputs, spec.bond_hidden)
            messages = messages * bond_weights[first] * bond_weights[second]
            sums = torch.zeros_like(edges).index_add(0, first, messages)
            sums = sums.index_add(0, bonds, sums[reverse])
            edges = edges + self._linear(f"bond_conv_layers.{t}.mlp_out.layers.1", sums)
            inputs = torch.cat([edges[first], edges[second], angles, nodes[edge_centre[first]]], dim=1)
            angles = angles + self._gated(f"angle_layers.{t}.twoBody_bond", inputs, spec.angle_hidden)
        return nodes

    def _radial(self, kind: str, distances: Tensor, cutoff: float) -> Tensor:
        frequencies = self.weights[f"bond_basis_expansion.rbf_expansion_{kind}.frequencies"]
        return radial_functions(self.spec, distances, frequencies, cutoff)

    def _linear(self, name: str, values: Tensor) -> Tensor:
        return torch.nn.functional.linear(values, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _normalised(self, name: str, values: Tensor) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return torch.nn.functional.layer_norm(values, values.shape[1:], weight, bias)

    def _network(self, name: str, values: Tensor, n_linear: int) -> Tensor:
        first, *further = linear_names(name, n_linear)
        values = self._linear(first, values)
        for linear in further:
            values = self._linear(linear, ACTIVATIONS[self.spec.activation](values))
        return values

    def _gated(self, name: str, inputs: Tensor, hidden: tuple[int, ...]) -> Tensor:
        """Return a network with an activation function times the sigmoid of another one."""
        core, gate = (self._network(f"{name}.{part}", inputs, len(hidden) + 1) for part in ("mlp_core", "mlp_gate"))
        if self.spec.has_norm:
            core, gate = self._normalised(f"{name}.bn1", core), self._normalised(f"{name}.bn2", gate)
        return ACTIVATIONS[self.spec.activation](core) * torch.sigmoid(gate)
