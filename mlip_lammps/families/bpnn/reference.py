"""Reference implementation of Behler-Parrinello networks: one symmetry function after the other."""

import torch
from torch import Tensor

from mlip_lammps.families.bpnn.activations import ACTIVATIONS
from mlip_lammps.families.bpnn.shapes import angular_value, radial_value
from mlip_lammps.families.bpnn.spec import ANGSTROM, EV, BpnnModel, SymmetryFunction
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.structure.angles import angles_of


class BpnnReference(ReferenceModel):
    """Behler-Parrinello networks in float64.

    Notes
    -----
    The energy of an atom is a network of its symmetry functions, sums over neighbours or pairs of neighbours (Behler,
    J. Chem. Phys. 134, 074106 (2011)).
    """

    def __init__(self, trained: BpnnModel):
        super().__init__(trained.atomic_numbers, trained.cutoff)
        self.spec = trained.spec
        self.weights = {name: torch.from_numpy(array) for name, array in trained.weights.items()}

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        spec = self.spec
        vectors = edge_vectors / ANGSTROM[spec.length_unit]
        reach = spec.longest(True) * ANGSTROM[spec.length_unit]
        pairs = torch.from_numpy(angles_of(edge_centre.numpy(), edge_vectors.detach().numpy(), reach))
        numbers = torch.tensor(self.atomic_numbers)[species]
        neighbours = _Neighbours(vectors, edge_centre, numbers[edge_neighbour], pairs, len(species))
        energies = vectors.new_zeros(len(species))
        for row, functions in enumerate(spec.functions):
            sums = torch.stack([neighbours.sum(function) for function in functions], dim=1)
            own = self._network(row, sums) / spec.energy_scale + spec.mean_energy + spec.atom_energies[row]
            energies = torch.where(species == row, own * EV[spec.energy_unit], energies)
        return energies

    def _network(self, row: int, sums: Tensor) -> Tensor:
        number, network = self.atomic_numbers[row], self.spec.networks[row]
        values = self.weights[f"scaling.{number}.factor"] * sums + self.weights[f"scaling.{number}.offset"]
        for k, name in enumerate(network.activations):
            width = values.shape[1]
            weight, bias = (self.weights[f"networks.{number}.{k}.{part}"] for part in ("weight", "bias"))
            values = values @ weight + bias
            values = ACTIVATIONS[name](values / width if self.spec.has_normalized_nodes else values)
        return values[:, 0]


class _Neighbours:
    """Edges and pairs of edges with the atomic numbers of their neighbours."""

    def __init__(self, vectors: Tensor, centre: Tensor, numbers: Tensor, pairs: Tensor, n_atoms: int):
        self.n_atoms, self.centre, self.numbers = n_atoms, centre, numbers
        self.distances = torch.linalg.norm(vectors, dim=1)
        first, second = pairs[:, 0], pairs[:, 1]
        self.pair_centre = centre[first]
        self.pair_numbers = numbers[first], numbers[second]
        self.pair_distances = self.distances[first], self.distances[second]
        self.between = torch.linalg.norm(vectors[second] - vectors[first], dim=1)
        product = (vectors[first] * vectors[second]).sum(dim=1)
        self.cosines = product / (self.pair_distances[0] * self.pair_distances[1])

    def sum(self, function: SymmetryFunction) -> Tensor:
        """Return a symmetry function of all atoms, shape (n_atoms,)."""
        if function.angular is None:
            weights = (self.numbers == function.neighbours[0]) if function.neighbours else self.numbers
            return self._sum(radial_value(function.radial, self.distances) * weights, self.centre)
        one, other = self.pair_numbers
        weights = one * other
        if function.neighbours:
            a, b = function.neighbours
            weights = ((one == a) & (other == b)) | ((one == b) & (other == a))
        values = angular_value(function.angular, self.cosines)
        for distances in (*self.pair_distances, *([self.between] if function.is_narrow else [])):
            values = values * radial_value(function.radial, distances)
        return self._sum(values * weights, self.pair_centre)

    def _sum(self, values: Tensor, centre: Tensor) -> Tensor:
        return values.new_zeros(self.n_atoms).index_add(0, centre, values)
