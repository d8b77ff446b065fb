"""Radial functions of a lowered layer: the trained network, its last hidden layer, and tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.radial_constants import RadialNetwork
from mlip_lammps.kernels.radial_table import RadialTable
from mlip_lammps.kernels.torch.radial import density_terms, radial_weights

Functions = Callable[[Tensor], Tensor]
"""From distances (n,) in angstrom to values (n, n_functions)."""


def radial_functions(model: LoweredModel, network: RadialNetwork, pair: int = 0) -> Functions:
    """Return the radial weights of a network for one pair of elements i * n_elements + j."""

    def functions(distances: Tensor) -> Tensor:
        pairs = _pairs(model, distances, pair)
        return radial_weights(model.radial, network, model.cutoff, distances, pairs)

    return functions


def density_functions(model: LoweredModel, network: RadialNetwork, pair: int = 0) -> Functions:
    """Return what a neighbour adds to the density of a layer for one pair of elements."""

    def functions(distances: Tensor) -> Tensor:
        return density_terms(model.radial, network, model.cutoff, distances, _pairs(model, distances, pair))

    return functions


def _pairs(model: LoweredModel, distances: Tensor, pair: int) -> Tensor | None:
    if not model.has_pair_functions:
        return None
    return torch.full(distances.shape, pair, dtype=torch.int64)


def hidden_functions(model: LoweredModel, network: RadialNetwork, pair: int = 0) -> tuple[Functions, Tensor]:
    """Return the last hidden layer as a function of distances, and the matrix from it to the weights."""
    hidden, last = network.split
    return radial_functions(model, hidden, pair), last


@dataclass(frozen=True)
class PairTables:
    """Which table holds the radial functions of each pair of elements.

    Attributes
    ----------
    pairs
        A pair i * n_elements + j for each table.
    table_of_pair
        Table of each pair, shape (n_elements^2,), int64.
    """

    atomic_numbers: tuple[int, ...]
    pairs: tuple[int, ...]
    table_of_pair: Tensor

    @classmethod
    def of(cls, model: LoweredModel) -> "PairTables":
        """Return the tables of a model; pairs with the same functions share one."""
        n_pairs = len(model.atomic_numbers) ** 2
        if not model.has_pair_functions:
            return cls(model.atomic_numbers, (0,), torch.zeros(n_pairs, dtype=torch.int64))
        kinds = []
        if model.radial.transform is not None:
            # sums of radii in another order differ in their last bit
            kinds.append((model.radial.transform.lengths * 1e9).round().unsqueeze(1))
        for layer in model.layers:
            networks = [layer.radial] if layer.density is None else [layer.radial, layer.density.network]
            kinds += [one.pair_biases for one in networks if one.pair_biases is not None]
        _, table_of_pair = torch.cat(kinds, dim=1).unique(dim=0, return_inverse=True)
        numbers = table_of_pair.tolist()
        pairs = tuple(numbers.index(table) for table in range(max(numbers) + 1))
        return cls(model.atomic_numbers, pairs, table_of_pair)

    def tables(self, numbers: Tensor) -> Tensor:
        """Return the table of each pair of atomic numbers (2, n), shape (n,)."""
        row = torch.zeros(max(self.atomic_numbers) + 1, dtype=torch.int64)
        row[list(self.atomic_numbers)] = torch.arange(len(self.atomic_numbers))
        centre, neighbour = row[numbers]
        return self.table_of_pair[centre * len(self.atomic_numbers) + neighbour]


@dataclass(frozen=True)
class TabulatedLayer:
    """Tabulated convolution weights of a layer, as the kernels have them.

    Attributes
    ----------
    expansion
        Expansion of the weights in the functions of the table; None if they are the same.
    pairs
        Tables of the pairs of elements.
    """

    table: RadialTable
    expansion: Tensor | None
    pairs: PairTables

    def __call__(self, distances: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Return the weights, shape (n, n_weights).

        Parameters
        ----------
        distances
            In angstrom, shape (n,).
        numbers
            Atomic numbers of centres and neighbours, shape (2, n); only if the functions depend on them.
        """
        tables = None if numbers is None else self.pairs.tables(numbers)
        return expanded(self.table.evaluate(distances, tables), self.expansion)


def table_record(tables: Sequence[RadialTable]) -> list[dict[str, float]]:
    """Return the metadata entries of each table."""
    return [
        {
            "n_intervals": table.n_intervals,
            "degree": table.degree,
            "n_functions": table.coefficients.shape[1],
            "n_tables": table.n_tables,
            "value_error": table.value_error,
            "slope_error": table.slope_error,
        }
        for table in tables
    ]


def expanded(values: Tensor, expansion: Tensor | None) -> Tensor:
    """Return a layer's radial functions from those of a reduced table; unchanged if there is no expansion."""
    return values if expansion is None else values @ expansion.t()
