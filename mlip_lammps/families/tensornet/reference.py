"""Reference implementation of TensorNet: matrices of rank 2 for every atom and edge."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.families.tensornet.lowering import radial_basis, repulsion_tables
from mlip_lammps.families.tensornet.readout import gated_network
from mlip_lammps.families.tensornet.spec import TensorNetModel
from mlip_lammps.kernels.torch.pair_repulsion import pair_repulsion
from mlip_lammps.kernels.torch.radial import ACTIVATIONS, basis_functions, cosine_cutoff

Parts = tuple[Tensor, Tensor, Tensor]
"""Identity, skew and symmetric traceless part, each of shape (n, units, 3, 3)."""


class TensorNetReference(ReferenceModel):
    """TensorNet in float64.

    Notes
    -----
    Tensors X of an atom are the sum of three parts. The embedding sums those of the directions of neighbours, and each
    interaction adds Y + Y^2, where Y depends on the product of the atom's tensors with a message from its neighbours
    (Simeon and De Fabritiis, arXiv:2306.06482). Norms are sums of squares.
    """

    def __init__(self, trained: TensorNetModel):
        super().__init__(trained.atomic_numbers, trained.cutoff)
        self.spec = trained.spec
        self.weights = {name: torch.from_numpy(array).to(torch.float64) for name, array in trained.weights.items()}
        self.basis, self.to_functions = radial_basis(trained)
        self.repulsion = repulsion_tables(trained, trained.atomic_numbers)
        self.activation = ACTIVATIONS["silu" if self.spec.activation == "swish" else self.spec.activation]
        self.radial_functions: Sequence[Callable[[Tensor], Tensor]] | None = None

    @property
    def has_repulsion(self) -> bool:
        return self.repulsion is not None

    def with_radial_functions(self, functions: Sequence[Callable[[Tensor], Tensor]]) -> "TensorNetReference":
        other = copy.copy(self)
        other.radial_functions = functions
        return other

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        spec, weights = self.spec, self.weights
        distances = torch.linalg.norm(edge_vectors, dim=1)
        directions = edge_vectors / distances[:, None]
        tensors = self._embedding(species, distances, directions, edge_centre, edge_neighbour)
        for block in range(spec.n_blocks):
            tensors = self._interaction(block, tensors, distances, edge_centre, edge_neighbour)
        norms = torch.cat([_norms(part) for part in _parts(tensors)], dim=1)
        nodes = self._linear("linear", self._normalised("out_norm", norms))
        energies = gated_network(self._linear, nodes)
        energies = weights["scale"] * energies + weights["constants"][species]
        if self.repulsion is None:
            return energies
        return energies + pair_repulsion(self.repulsion, edge_vectors, edge_centre, edge_neighbour, species, species)

    def _embedding(
        self, species: Tensor, distances: Tensor, directions: Tensor, centre: Tensor, neighbour: Tensor
    ) -> Tensor:
        spec, weights, name = self.spec, self.weights, "tensor_embedding"
        elements = weights[f"{name}.emb.weight"][species]
        pairs = self._linear(f"{name}.emb2", torch.cat([elements[centre], elements[neighbour]], dim=1))
        if self.radial_functions is None:
            radial = self._radial(distances)
            factors = torch.stack([self._linear(f"{name}.distance_proj{k + 1}", radial) for k in range(3)], dim=1)
            factors = factors * cosine_cutoff(distances, spec.cutoff)[:, None, None]
        else:
            factors = self.radial_functions[0](distances).unflatten(1, (3, spec.units))
        unit = torch.eye(3, dtype=torch.float64).expand(len(distances), 1, 3, 3)
        skew = torch.linalg.cross(directions[:, None, None], unit)
        outer = directions[:, None, :, None] * directions[:, None, None, :]
        of_direction = unit, skew.transpose(2, 3), outer - unit / 3.0
        sums = [
            torch.zeros(len(species), spec.units, 3, 3, dtype=torch.float64).index_add(
                0, centre, (pairs * factors[:, k])[:, :, None, None] * part
            )
            for k, part in enumerate(of_direction)
        ]
        hidden = self._normalised(f"{name}.init_norm", _norms(sum(sums)))
        for k in range(2):
            hidden = self.activation(self._linear(f"{name}.linears_scalar.{k}", hidden))
        factors = hidden.unflatten(1, (spec.units, 3))[:, :, :, None, None]
        mapped = self._mapped(name, 0, sums)
        return sum(part * factors[:, :, k] for k, part in enumerate(mapped))

    def _interaction(self, block: int, tensors: Tensor, distances: Tensor, centre: Tensor, neighbour: Tensor) -> Tensor:
        spec, name = self.spec, f"layers.{block}"
        if self.radial_functions is None:
            hidden = self._radial(distances)
            for k in range(3):
                hidden = self.activation(self._linear(f"{name}.linears_scalar.{k}", hidden))
            factors = hidden.unflatten(1, (spec.units, 3)) * cosine_cutoff(distances, spec.cutoff)[:, None, None]
        else:
            factors = self.radial_functions[1 + block](distances).unflatten(1, (3, spec.units)).transpose(1, 2)
        tensors = tensors / (_norms(tensors) + 1.0)[:, :, None, None]
        parts = self._mapped(name, 0, _parts(tensors))
        senders = centre if spec.has_own_messages else neighbour
        message = sum(
            torch.zeros_like(part).index_add(0, centre, part[senders] * factors[:, :, k, None, None])
            for k, part in enumerate(parts)
        )
        own = sum(parts)
        product = message @ own + own @ message if spec.group == "O(3)" else 2.0 * own @ message
        product = product / (_norms(product) + 1.0)[:, :, None, None]
        change = sum(self._mapped(name, 3, _parts(product)))
        return tensors + change + change @ change

    def _radial(self, distances: Tensor) -> Tensor:
        return basis_functions(self.basis, distances) @ self.to_functions

    def _linear(self, name: str, values: Tensor) -> Tensor:
        return torch.nn.functional.linear(values, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))

    def _normalised(self, name: str, values: Tensor) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return torch.nn.functional.layer_norm(values, values.shape[1:], weight, bias)

    def _mapped(self, name: str, first: int, parts: Sequence[Tensor]) -> list[Tensor]:
        """Return the linear maps of the parts, those from ``first`` on."""
        return [
            torch.einsum("nc...,dc->nd...", part, self.weights[f"{name}.linears_tensor.{k}.weight"])
            for k, part in enumerate(parts, start=first)
        ]


def _parts(tensors: Tensor) -> Parts:
    turned = tensors.transpose(2, 3)
    trace = torch.diagonal(tensors, dim1=2, dim2=3).sum(dim=2)[:, :, None, None]
    scalar = trace / 3.0 * torch.eye(3, dtype=torch.float64)
    return scalar, 0.5 * (tensors - turned), 0.5 * (tensors + turned) - scalar


def _norms(tensors: Tensor) -> Tensor:
    return tensors.square().sum(dim=(2, 3))
