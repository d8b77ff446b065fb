"""Reference implementation of ANI potentials, in the order of the formulae."""

import torch
from ase.units import Hartree
from torch import Tensor

from mlip_lammps.families.ani.spec import AniModel
from mlip_lammps.families.ani.terms import (
    ACTIVATIONS,
    angular_values,
    cutoff_value,
    radial_values,
    repulsion_energies,
)
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.structure.angles import angles_of


class AniReference(ReferenceModel):
    """An ANI potential in float64.

    Notes
    -----
    The energy of an atom is the mean of networks of its atomic environment vector: sums of radial terms over neighbours
    of each element, and of angular terms over pairs of neighbours of each pair of elements (Smith, Isayev and Roitberg,
    Chem. Sci. 8, 3192 (2017), with the factor 1/4 of NeuroChem).
    """

    def __init__(self, trained: AniModel):
        super().__init__(trained.atomic_numbers, trained.cutoff)
        self.spec = trained.spec
        self.weights = {name: torch.from_numpy(array).to(torch.float64) for name, array in trained.weights.items()}

    @property
    def has_repulsion(self) -> bool:
        return self.spec.repulsion is not None

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        spec = self.spec
        distances = torch.linalg.norm(edge_vectors, dim=1)
        vectors = torch.cat(
            [
                self._radial(species, distances, edge_centre, edge_neighbour),
                self._angular(species, edge_vectors, distances, edge_centre, edge_neighbour),
            ],
            dim=1,
        )
        energies = torch.tensor(spec.self_energies, dtype=torch.float64)[species]
        for row, number in enumerate(spec.atomic_numbers):
            energies = energies + torch.where(species == row, self._network(number, vectors), 0.0)
        if spec.repulsion is not None:
            pair = species[edge_centre], species[edge_neighbour]
            parameters = [self.weights[f"repulsion.{name}"][pair] for name in ("y", "sqrt_alpha", "k")]
            halves = 0.5 * repulsion_energies(spec.repulsion, distances, *parameters)
            energies = energies.index_add(0, edge_centre, halves)
        return energies * Hartree

    def _radial(self, species: Tensor, distances: Tensor, centre: Tensor, neighbour: Tensor) -> Tensor:
        values = radial_values(self.spec.radial, self.spec.cutoff_function, distances)
        sums = []
        for row in range(len(self.atomic_numbers)):
            chosen = torch.where(species[neighbour] == row, values, 0.0)
            sums.append(values.new_zeros(len(species), len(values)).index_add(0, centre, chosen.T))
        return torch.cat(sums, dim=1)

    def _angular(
        self, species: Tensor, vectors: Tensor, distances: Tensor, centre: Tensor, neighbour: Tensor
    ) -> Tensor:
        terms = self.spec.angular
        pairs = torch.from_numpy(angles_of(centre.numpy(), vectors.detach().numpy(), terms.cutoff))
        first, second = pairs[:, 0], pairs[:, 1]
        one, other = distances[first], distances[second]
        cosines = (vectors[first] * vectors[second]).sum(dim=1) / (one * other)
        factors = [cutoff_value(self.spec.cutoff_function, some, terms.cutoff) for some in (one, other)]
        values = angular_values(terms, cosines, 0.5 * (one + other), factors[0] * factors[1])
        kinds = species[neighbour]
        low, high = torch.minimum(kinds[first], kinds[second]), torch.maximum(kinds[first], kinds[second])
        sums = []
        for a in range(len(self.atomic_numbers)):
            for b in range(a, len(self.atomic_numbers)):
                chosen = torch.where((low == a) & (high == b), values, 0.0)
                sums.append(values.new_zeros(len(species), len(values)).index_add(0, centre[first], chosen.T))
        return torch.cat(sums, dim=1)

    def _network(self, number: int, vectors: Tensor) -> Tensor:
        """Return the mean energy of the members for all atoms, in hartree."""
        row = self.atomic_numbers.index(number)
        values = vectors.expand(self.spec.n_members, *vectors.shape)
        for k in range(len(self.spec.widths[row])):
            if k > 0:
                values = ACTIVATIONS[self.spec.activation](values)
            values = values @ self.weights[f"networks.{number}.{k}.weight"]
            if self.spec.has_biases:
                values = values + self.weights[f"networks.{number}.{k}.bias"][:, None]
        return values[:, :, 0].mean(dim=0)
