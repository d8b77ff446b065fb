"""Radial functions of a lowered layer: the trained network, its last hidden layer, and tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import LoweredLayer, LoweredModel
from mlip_lammps.kernels.radial_table import RadialTable
from mlip_lammps.kernels.torch.radial import density_terms, mapped_distances, radial_weights


def radial_functions(
    model: LoweredModel, layer: LoweredLayer, length: float | None = None
) -> Callable[[Tensor], Tensor]:
    """Return the radial weights of a layer as a function of distances (n,), shape (n, n_paths * n_channels).

    ``length`` is that of the distance transform for one pair of elements.
    """
    basis = model.radial

    def functions(distances: Tensor) -> Tensor:
        return radial_weights(
            distances,
            basis.wave_numbers,
            basis.prefactor,
            model.cutoff,
            basis.cutoff_power,
            basis.is_cutoff_on_basis,
            layer.radial_matrices,
            layer.radial_activation_scale,
            _mapped(model, distances, length),
        )

    return functions


def density_functions(model: LoweredModel, layer: LoweredLayer, length: float | None) -> Callable[[Tensor], Tensor]:
    """Return what a neighbour adds to the density of a layer as a function of distances (n,), shape (n, 1)."""
    basis = model.radial

    def functions(distances: Tensor) -> Tensor:
        return density_terms(
            distances,
            basis.wave_numbers,
            basis.prefactor,
            model.cutoff,
            basis.cutoff_power,
            basis.is_cutoff_on_basis,
            layer.density,
            _mapped(model, distances, length),
        ).unsqueeze(1)

    return functions


def _mapped(model: LoweredModel, distances: Tensor, length: float | None) -> Tensor | None:
    if length is None:
        return None
    return mapped_distances(model.radial.transform, distances, torch.full_like(distances, length))


def hidden_functions(
    model: LoweredModel, layer: LoweredLayer, length: float | None = None
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return the last hidden layer as a function of distances, and the matrix from it to the weights."""
    *before, last = layer.radial_matrices
    unit = torch.eye(last.shape[0], dtype=last.dtype)
    return radial_functions(model, replace(layer, radial_matrices=(*before, unit)), length), last


@dataclass(frozen=True)
class PairTables:
    """Which table holds the radial functions of each pair of elements.

    Attributes
    ----------
    lengths
        Length of the distance transform for each table in angstrom; one None without a transform.
    table_of_pair
        Table of each pair i * n_elements + j, shape (n_elements^2,), int64.
    """

    atomic_numbers: tuple[int, ...]
    lengths: tuple[float | None, ...]
    table_of_pair: Tensor

    @classmethod
    def of(cls, model: LoweredModel) -> "PairTables":
        """Return the tables of a model; pairs with the same length share one."""
        if model.radial.transform is None:
            n_pairs = len(model.atomic_numbers) ** 2
            return cls(model.atomic_numbers, (None,), torch.zeros(n_pairs, dtype=torch.int64))
        # sums of radii in another order differ in their last bit
        rounded = (model.radial.transform.lengths * 1e9).round()
        lengths, table_of_pair = rounded.unique(return_inverse=True)
        return cls(model.atomic_numbers, tuple((lengths / 1e9).tolist()), table_of_pair)

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
            Atomic numbers of centres and neighbours, shape (2, n); only with a distance transform.
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
