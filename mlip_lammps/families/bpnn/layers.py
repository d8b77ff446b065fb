"""Behler-Parrinello networks as one layer of torch functions.

Symmetry functions differ in few parameters. The layer sums each distinct function for all elements of neighbours; a
matrix for each element of the centre then picks its symmetry functions, scales them and adds up weighted ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mlip_lammps.families.atom_centred.networks import energies_by_element
from mlip_lammps.families.atom_centred.sums import ElementSums
from mlip_lammps.families.bpnn.activations import ACTIVATIONS
from mlip_lammps.families.bpnn.shapes import angular_value, edge_factor, radial_value
from mlip_lammps.families.bpnn.spec import ANGSTROM, EV, AngularShape, BpnnModel, RadialShape, SymmetryFunction
from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.backend import LayerOperators, NoOperators

_CHUNK_ATOMS = 16
"""Centres of a call: their angles, not their edges, fill the cache."""


class BpnnLayers(LayeredModel):
    """A potential for some of its elements as a chain of one layer."""

    def __init__(self, trained: BpnnModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff
        self.angle_cutoff = trained.spec.longest(True) * ANGSTROM[trained.spec.length_unit]

    def chunk_atoms(self) -> int:
        return _CHUNK_ATOMS

    def chain(self, dtype: str, operators: LayerOperators | NoOperators) -> "BpnnChain":
        return BpnnChain(self.trained, self.atomic_numbers, dtype)


@dataclass(frozen=True)
class _AngularColumn:
    radial: RadialShape
    angular: AngularShape
    is_narrow: bool


class BpnnChain(Chain):
    """Symmetry functions in float64, and networks in the precision of the features."""

    def __init__(self, trained: BpnnModel, atomic_numbers: tuple[int, ...], dtype: str):
        super().__init__(dtype, 1)
        spec = trained.spec
        self.length, self.energy = ANGSTROM[spec.length_unit], EV[spec.energy_unit]
        self.n_elements = len(atomic_numbers)
        self.sums = ElementSums(self.n_elements)
        self.rows = [spec.atomic_numbers.index(number) for number in atomic_numbers]
        functions = [spec.functions[row] for row in self.rows]
        every = [one for some in functions for one in some]
        self.radial = _distinct([one.radial for one in every if one.angular is None])
        self.angular = _distinct([_column(one) for one in every if one.angular is not None])
        self.edge_factors = _distinct([_without_gaussian(one.radial) for one in self.angular])
        matrices = [self._matrix(some, atomic_numbers, self.sums.pairs) for some in functions]
        self.elements = [
            _Element(trained, number, row, matrix, self.precision.features)
            for number, row, matrix in zip(atomic_numbers, self.rows, matrices, strict=True)
        ]

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        vectors = graph.edge_vectors / self.length
        distances = vectors.square().sum(dim=1).sqrt()
        sums = []
        if self.radial:
            columns = torch.stack([radial_value(shape, distances) for shape in self.radial])
            sums.append(self.sums.over_edges(columns, graph))
        if self.angular:
            sums.append(self._angular_sums(graph, vectors, distances))
        every = torch.cat(sums, dim=1).to(self.precision.features)
        energies = energies_by_element([one.energies for one in self.elements], every, graph.centre_species)
        return {}, energies * self.energy

    def _angular_sums(self, graph: EdgeGraph, vectors: Tensor, distances: Tensor) -> Tensor:
        """Return the sums over pairs of neighbours, shape (n_local, n_pairs * n_columns)."""
        first, second = graph.angle_edges[:, 0], graph.angle_edges[:, 1]
        factors = [edge_factor(shape, distances) for shape in self.edge_factors]
        table = torch.cat([vectors, torch.stack([distances, *factors], dim=1)], dim=1)
        one, other = table.index_select(0, first), table.index_select(0, second)
        cosines = (one[:, :3] * other[:, :3]).sum(dim=1) / (one[:, 3] * other[:, 3])
        ends = [one[:, 3], other[:, 3]]
        between = (other[:, :3] - one[:, :3]).square().sum(dim=1).sqrt() if self._is_narrow else None
        products = {shape: one[:, 4 + k] * other[:, 4 + k] for k, shape in enumerate(self.edge_factors)}
        angular = {shape: angular_value(shape, cosines) for shape in _distinct([c.angular for c in self.angular])}
        radial = {}
        for shape, is_narrow in _distinct([(column.radial, column.is_narrow) for column in self.angular]):
            value = products[_without_gaussian(shape)]
            if is_narrow:
                value = value * edge_factor(shape, between)
            if shape.kind == "gaussian" and shape.eta > 0.0:
                squares = sum((distance - shape.shift) ** 2 for distance in (*ends, *([between] if is_narrow else [])))
                value = value * torch.exp(-shape.eta * squares)
            radial[shape, is_narrow] = value
        columns = [radial[column.radial, column.is_narrow] * angular[column.angular] for column in self.angular]
        return self.sums.over_angles(torch.stack(columns), graph)

    @property
    def _is_narrow(self) -> bool:
        return any(column.is_narrow for column in self.angular)

    def _matrix(
        self, functions: Sequence[SymmetryFunction], numbers: Sequence[int], pairs: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Return the matrix from all sums to the symmetry functions of an element, shape (n_sums, n_functions)."""
        start = self.n_elements * len(self.radial)
        matrix = torch.zeros(start + len(pairs) * len(self.angular), len(functions), dtype=torch.float64)
        for k, function in enumerate(functions):
            if function.angular is None:
                column = self.radial.index(function.radial)
                for e, number in enumerate(numbers):
                    if not function.neighbours or function.neighbours == (number,):
                        matrix[e * len(self.radial) + column, k] = 1.0 if function.neighbours else number
                continue
            column = self.angular.index(_column(function))
            for p, (a, b) in enumerate(pairs):
                both = tuple(sorted((numbers[a], numbers[b])))
                if not function.neighbours or function.neighbours == both:
                    weight = 1.0 if function.neighbours else float(both[0] * both[1])
                    matrix[start + p * len(self.angular) + column, k] = weight
        return matrix


class _Element:
    """The network of one element, which takes the sums of all functions."""

    def __init__(self, trained: BpnnModel, number: int, row: int, matrix: Tensor, dtype: torch.dtype):
        spec, weights = trained.spec, {name: torch.from_numpy(one) for name, one in trained.weights.items()}
        self.matrix = (matrix * weights[f"scaling.{number}.factor"]).to(dtype)
        self.offset = weights[f"scaling.{number}.offset"].to(dtype)
        self.scale, self.constant = 1.0 / spec.energy_scale, spec.mean_energy + spec.atom_energies[row]
        self.layers = []
        for k, name in enumerate(spec.networks[row].activations):
            weight, bias = (weights[f"networks.{number}.{k}.{part}"] for part in ("weight", "bias"))
            norm = 1.0 / len(weight) if spec.has_normalized_nodes else 1.0
            self.layers.append(((norm * weight).to(dtype), (norm * bias).to(dtype), ACTIVATIONS[name]))

    def energies(self, sums: Tensor) -> Tensor:
        """Return atomic energies in the unit of the file, shape (n_local,)."""
        values = sums @ self.matrix + self.offset
        for weight, bias, activation in self.layers:
            values = activation(values @ weight + bias)
        return values[:, 0].to(torch.float64) * self.scale + self.constant


def _column(function: SymmetryFunction) -> _AngularColumn:
    return _AngularColumn(function.radial, function.angular, function.is_narrow)


def _without_gaussian(shape: RadialShape) -> RadialShape:
    """Return a shape with the factor that each distance has for itself."""
    return replace(shape, eta=0.0, shift=0.0)


def _distinct(items: list) -> list:
    return list(dict.fromkeys(items))
