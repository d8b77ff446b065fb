"""Behler-Parrinello networks as one layer: symmetry functions of the kernels, and networks in torch."""

from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.families.atom_centred.networks import energies_by_element
from mlip_lammps.families.bpnn.activations import ACTIVATIONS
from mlip_lammps.families.bpnn.lowering import lowered_functions
from mlip_lammps.families.bpnn.spec import ANGSTROM, EV, BpnnModel
from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.operators import SymmetryOperators, symmetry_operators


class BpnnLayers(LayeredModel):
    """A potential for some of its elements as a chain of one layer."""

    has_operators = True

    def __init__(self, trained: BpnnModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff

    def operators(self, name: str, dtype: str, radial: str, scratch: Path) -> SymmetryOperators:
        return symmetry_operators(name, lowered_functions(self.trained.spec, self.atomic_numbers), scratch)

    def chain(self, dtype: str, operators: SymmetryOperators) -> "BpnnChain":
        return BpnnChain(self.trained, self.atomic_numbers, dtype, operators)


class BpnnChain(Chain):
    """Symmetry functions in float64, and networks in the precision of the features."""

    def __init__(
        self, trained: BpnnModel, atomic_numbers: tuple[int, ...], dtype: str, operators: SymmetryOperators
    ):
        super().__init__(dtype, 1)
        spec, self.operators = trained.spec, operators
        self.length, self.energy = ANGSTROM[spec.length_unit], EV[spec.energy_unit]
        self.elements = [
            _Element(trained, number, spec.atomic_numbers.index(number), self.precision.features)
            for number in atomic_numbers
        ]

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        vectors, species = graph.edge_vectors / self.length, graph.centre_species
        sums = self.operators.sums(vectors, graph.edge_centre, graph.neighbour_species(), species)
        sums = sums.to(self.precision.features)
        energies = energies_by_element([one.energies for one in self.elements], sums, species)
        return {}, energies * self.energy


class _Element:
    """The network of one element."""

    def __init__(self, trained: BpnnModel, number: int, row: int, dtype: torch.dtype):
        spec, weights = trained.spec, {name: torch.from_numpy(one) for name, one in trained.weights.items()}
        self.factor = weights[f"scaling.{number}.factor"].to(dtype)
        self.offset = weights[f"scaling.{number}.offset"].to(dtype)
        self.scale, self.constant = 1.0 / spec.energy_scale, spec.mean_energy + spec.atom_energies[row]
        self.layers = []
        for k, name in enumerate(spec.networks[row].activations):
            weight, bias = (weights[f"networks.{number}.{k}.{part}"] for part in ("weight", "bias"))
            norm = 1.0 / len(weight) if spec.has_normalized_nodes else 1.0
            self.layers.append(((norm * weight).to(dtype), (norm * bias).to(dtype), ACTIVATIONS[name]))

    def energies(self, sums: Tensor) -> Tensor:
        """Return atomic energies in the unit of the file, shape (n_local,)."""
        values = sums[:, : len(self.factor)] * self.factor + self.offset
        for weight, bias, activation in self.layers:
            values = activation(values @ weight + bias)
        return values[:, 0].to(torch.float64) * self.scale + self.constant
