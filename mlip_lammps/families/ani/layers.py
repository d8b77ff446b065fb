"""ANI potentials as one layer: terms of the kernels, and networks in torch."""

from pathlib import Path

import numpy as np
import torch
from ase.units import Hartree
from torch import Tensor

from mlip_lammps.families.ani.lowering import lowered_terms
from mlip_lammps.families.ani.spec import AniModel
from mlip_lammps.families.ani.terms import ACTIVATIONS, repulsion_energies
from mlip_lammps.families.atom_centred.networks import energies_by_element
from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.operators import SymmetryOperators, symmetry_operators
from mlip_lammps.kernels.symmetry_functions import element_pairs

_CHUNK_ATOMS = 128
"""Centres of a call: enough rows of each element for the products of its networks."""


class AniLayers(LayeredModel):
    """A potential for some of its elements as a chain of one layer."""

    has_operators = True

    def __init__(self, trained: AniModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff

    def chunk_atoms(self) -> int:
        return _CHUNK_ATOMS

    def operators(self, name: str, dtype: str, radial: str, scratch: Path) -> SymmetryOperators:
        return symmetry_operators(name, lowered_terms(self.trained.spec, len(self.atomic_numbers)), scratch)

    def chain(self, dtype: str, operators: SymmetryOperators) -> "AniChain":
        return AniChain(self.trained, self.atomic_numbers, dtype, operators)


class AniChain(Chain):
    """Terms in float64, and networks in the precision of the features."""

    def __init__(self, trained: AniModel, atomic_numbers: tuple[int, ...], dtype: str, operators: SymmetryOperators):
        super().__init__(dtype, 1)
        self.operators = operators
        spec = self.spec = trained.spec
        rows = [spec.atomic_numbers.index(number) for number in atomic_numbers]
        inputs = _inputs(trained, rows)
        self.networks = [_Networks(trained, row, inputs, self.precision.features) for row in rows]
        self.self_energies = torch.tensor([spec.self_energies[row] for row in rows], dtype=torch.float64)
        names = ("y", "sqrt_alpha", "k") if spec.repulsion is not None else ()
        self.repulsion = [
            torch.from_numpy(trained.weights[f"repulsion.{name}"][np.ix_(rows, rows)].astype(np.float64)).flatten()
            for name in names
        ]

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        neighbours, species = graph.neighbour_species(), graph.centre_species
        inputs = self.operators.sums(graph.edge_vectors, graph.edge_centre, neighbours, species)
        energies = energies_by_element(self.networks, inputs.to(self.precision.features), species)
        energies = energies.to(torch.float64) + self.self_energies.index_select(0, species)
        if self.spec.repulsion is not None:
            energies = energies.index_add(0, graph.edge_centre, 0.5 * self._repulsion(graph, neighbours))
        return {}, energies * Hartree

    def _repulsion(self, graph: EdgeGraph, neighbours: Tensor) -> Tensor:
        distances = graph.edge_vectors.square().sum(dim=1).sqrt()
        centres = graph.centre_species.index_select(0, graph.edge_centre)
        pairs = centres * len(self.networks) + neighbours
        parameters = [one.index_select(0, pairs) for one in self.repulsion]
        return repulsion_energies(self.spec.repulsion, distances, *parameters)


class _Networks:
    """The networks of one element: the first layer of all members is one product."""

    def __init__(self, trained: AniModel, row: int, inputs: list[int], dtype: torch.dtype):
        spec, number = trained.spec, trained.spec.atomic_numbers[row]
        self.activation = ACTIVATIONS[spec.activation]

        def layer(k: int) -> tuple[Tensor, Tensor]:
            weight = trained.weights[f"networks.{number}.{k}.weight"]
            bias = trained.weights.get(f"networks.{number}.{k}.bias", np.zeros((len(weight), weight.shape[2])))
            return torch.from_numpy(weight).to(dtype), torch.from_numpy(bias).to(dtype)

        weight, bias = layer(0)
        self.first = weight[:, inputs].permute(1, 0, 2).flatten(1).contiguous(), bias.flatten()
        others = [layer(k) for k in range(1, len(spec.widths[row]))]
        self.members = [[(weight[m], bias[m]) for weight, bias in others] for m in range(spec.n_members)]

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the mean energies of the members in hartree, shape (n,)."""
        weight, bias = self.first
        widths = [weight.shape[1] // len(self.members)] * len(self.members)
        total = 0.0
        for values, layers in zip((inputs @ weight + bias).split(widths, dim=1), self.members, strict=True):
            for weight, bias in layers:
                values = self.activation(values) @ weight + bias
            total = total + values[:, 0]
        return total / len(self.members)


def _inputs(trained: AniModel, rows: list[int]) -> list[int]:
    """Return the places of the sums for some elements among the inputs of the trained networks."""
    spec = trained.spec
    n_elements, n_radial, n_angular = len(spec.atomic_numbers), len(spec.radial.shifts), spec.angular.n_terms
    trained_pairs = element_pairs(n_elements)
    starts = [row * n_radial for row in rows]
    places = [start + k for start in starts for k in range(n_radial)]
    for a, b in element_pairs(len(rows)):
        pair = trained_pairs.index((min(rows[a], rows[b]), max(rows[a], rows[b])))
        start = n_elements * n_radial + pair * n_angular
        places += range(start, start + n_angular)
    return places
