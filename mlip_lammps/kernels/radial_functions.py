"""Radial functions of a lowered layer: the trained network, its last hidden layer, and tables."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.radial_constants import RadialNetwork
from mlip_lammps.kernels.radial_table import RadialTable
from mlip_lammps.kernels.torch.radial import density_terms, radial_weights

Functions = Callable[[Tensor], Tensor]
"""From distances (n,) in angstrom to values (n, n_functions)."""


def radial_functions(model: LoweredModel, network: RadialNetwork) -> Functions:
    """Return the radial weights of a network that does not depend on the pair of elements."""

    def functions(distances: Tensor) -> Tensor:
        return radial_weights(model.radial, network, model.cutoff, distances)

    return functions


def density_functions(model: LoweredModel, network: RadialNetwork) -> Functions:
    """Return what a neighbour adds to the density of a layer that does not depend on the pair of elements."""

    def functions(distances: Tensor) -> Tensor:
        return density_terms(model.radial, network, model.cutoff, distances)

    return functions


def hidden_functions(model: LoweredModel, network: RadialNetwork) -> tuple[Functions, Tensor]:
    """Return the last hidden layer as a function of distances, and the matrix from it to the weights."""
    hidden, last = network.split
    return radial_functions(model, hidden), last


@dataclass(frozen=True)
class TabulatedLayer:
    """Tabulated convolution weights of a layer, as the kernels have them.

    Attributes
    ----------
    expansion
        Expansion of the weights in the functions of the table; None if they are the same.
    """

    table: RadialTable
    expansion: Tensor | None

    def __call__(self, distances: Tensor) -> Tensor:
        """Return the weights at ``distances`` (n,) in angstrom, shape (n, n_weights)."""
        return expanded(self.table.evaluate(distances), self.expansion)


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
