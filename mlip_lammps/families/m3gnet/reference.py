"""Reference implementation of M3GNet: one block after the other, with a sum over pairs of neighbours."""

import math

import torch
from torch import Tensor

from mlip_lammps.families.m3gnet.bases import ACTIVATIONS, radial_functions, threebody_envelope
from mlip_lammps.families.m3gnet.spec import M3GNetModel
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.structure.angles import angles_of


class M3GNetReference(ReferenceModel):
    """M3GNet in float64.

    Notes
    -----
    Each block updates the features of edges with those of pairs of edges of the same centre and with those of their
    atoms, and then the features of the centre, or in MatGL with DGL those of the neighbour (Chen and Ong, Nat. Comput.
    Sci. 2, 718 (2022), equations 2 to 5).
    """

    def __init__(self, trained: M3GNetModel):
        super().__init__(trained.atomic_numbers, trained.cutoff)
        self.spec = trained.spec
        self.splits_gradients = not trained.spec.has_incoming_messages  # the layers compute them from reversed edges
        self.weights = {name: torch.from_numpy(array).to(torch.float64) for name, array in trained.weights.items()}

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        spec, weights = self.spec, self.weights
        distances = torch.linalg.norm(edge_vectors, dim=1)
        pairs = angles_of(edge_centre.numpy(), edge_vectors.detach().numpy(), spec.threebody_cutoff)
        first, second = torch.from_numpy(pairs).T
        # each pair gives a message to both of its edges
        first, second = torch.cat([first, second]), torch.cat([second, first])
        functions = radial_functions(spec, distances)
        radial = functions[:, : spec.n_radial]
        envelope = threebody_envelope(spec, distances)
        cosines = (edge_vectors[first] * edge_vectors[second]).sum(dim=1) / (distances[first] * distances[second])
        harmonics = _zonal_harmonics(cosines, spec.max_l).repeat_interleave(spec.max_n, dim=1)
        basis = functions[second] * harmonics * (envelope[first] * envelope[second])[:, None]

        receiver = edge_neighbour if spec.has_incoming_messages else edge_centre
        nodes = weights["embedding.layer_node_embedding.weight"][species]
        edges = ACTIVATIONS[spec.activation](self._linear("embedding.layer_edge_embedding.layers.0", radial))
        for block in range(spec.n_blocks):
            threebody, graph = f"three_body_interactions.{block}", f"graph_layers.{block}.conv"
            received = torch.sigmoid(self._linear(f"{threebody}.update_network_atom.layers.0", nodes))
            messages = basis * received[edge_neighbour[second]]
            sums = basis.new_zeros(len(distances), spec.n_threebody).index_add(0, first, messages)
            edges = edges + self._gated(f"{threebody}.update_network_bond", sums, 1)
            for kind in ("edge", "node"):
                inputs = torch.cat([nodes[edge_centre], nodes[edge_neighbour], edges], dim=1)
                update = self._gated(f"{graph}.{kind}_update_func", inputs, 3)
                update = update * self._linear(f"{graph}.{kind}_weight_func", radial)
                if kind == "edge":
                    edges = edges + update
                else:
                    nodes = nodes.index_add(0, receiver, update)
        energies = self._gated("final_layer.gated", nodes, 4, is_last_linear=True)[:, 0]
        return weights["scale"] * energies + weights["constants"][species]

    def _linear(self, name: str, values: Tensor) -> Tensor:
        return torch.nn.functional.linear(values, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _gated(self, name: str, inputs: Tensor, n_linear: int, is_last_linear: bool = False) -> Tensor:
        """Return a network times the sigmoid of another one; hidden layers have swish functions."""
        values = gates = inputs
        for k in range(n_linear):
            is_last = k == n_linear - 1
            values = self._linear(f"{name}.layers.{2 * k}", values)
            gates = self._linear(f"{name}.gates.{2 * k}", gates)
            if not (is_last and is_last_linear):
                values = torch.nn.functional.silu(values)
            gates = torch.sigmoid(gates) if is_last else torch.nn.functional.silu(gates)
        return values * gates


def _zonal_harmonics(cosines: Tensor, max_l: int) -> Tensor:
    """Return Y_l0 = sqrt((2l + 1) / 4 pi) P_l of the cosines for l = 0 ... max_l - 1, shape (n, max_l)."""
    legendre = [torch.ones_like(cosines), cosines]
    for order in range(1, max_l - 1):
        following = (2 * order + 1) * cosines * legendre[order] - order * legendre[order - 1]
        legendre.append(following / (order + 1))
    columns = [math.sqrt((2 * order + 1) / (4.0 * math.pi)) * legendre[order] for order in range(max_l)]
    return torch.stack(columns, dim=1)
