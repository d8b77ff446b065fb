"""Constants of the density for the template in ``cpu/density.h``, and its table."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.radials import FromTable
from mlip_lammps.kernels.lowered import LoweredLayer, LoweredModel
from mlip_lammps.kernels.pair_tables import PairKinds, PairTable, pair_table
from mlip_lammps.kernels.radial_functions import density_functions
from mlip_lammps.kernels.radial_table import RadialTable, tabulate

_SLOPE_TOLERANCE = 1e-9
"""In every precision: the table has one function."""


@dataclass(frozen=True)
class DensityShape:
    """Form of the density of a layer."""

    name: str
    radials: FromTable

    def source(self) -> str:
        """Return the struct that the template ``Density`` takes."""
        return f"""struct {self.name} {{
  static constexpr int DEGREE = {self.radials.degree};
}};
"""


@dataclass(frozen=True)
class DensityTable:
    """The density of a layer from a table.

    Attributes
    ----------
    coefficients
        Those of ``table`` in the order of the kernel; None if the tables of pairs are inputs.
    """

    shape: DensityShape
    table: RadialTable | PairTable
    coefficients: Tensor | None

    def pair_tables(self, pairs: Tensor) -> Tensor:
        """Return the tables of pairs of elements (n_tables,) in the order of the kernel, shape (n_tables, n_values)."""
        return self.shape.radials.with_zeros(self.table.coefficients(pairs)).flatten(1).contiguous()


def density_table(t: int, layer: LoweredLayer, model: LoweredModel, kinds: PairKinds) -> DensityTable:
    """Return the table of the density of layer ``t``.

    Raises
    ------
    TableError
        If no table is accurate enough.
    """
    one, network = torch.eye(1, dtype=torch.float64), layer.density.network
    if model.has_pair_functions:
        of_pairs = pair_table(model, network, one, kinds, _SLOPE_TOLERANCE, value_bytes=8, is_density=True)
        radials = FromTable(of_pairs.degree, len(kinds.pairs), has_pairs=True)
        return DensityTable(DensityShape(f"Density{t}", radials), of_pairs, None)
    table = tabulate(density_functions(model, network), one, model.cutoff, _SLOPE_TOLERANCE)
    radials = FromTable(table.degree)
    coefficients = radials.with_zeros(table.coefficients.unsqueeze(0)).reshape(-1).contiguous()
    return DensityTable(DensityShape(f"Density{t}", radials), table, coefficients)
