"""Constants of the density for the template in ``cpu/density.h``, and its table."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.radials import FromTable
from mlip_lammps.kernels.lowered import LoweredLayer, LoweredModel
from mlip_lammps.kernels.radial_functions import PairTables, density_functions
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
  static constexpr int DEGREE = {self.radials.degree}, N_TABLES = {self.radials.n_tables};
}};
"""


@dataclass(frozen=True)
class DensityTable:
    """The density of a layer from a table.

    Attributes
    ----------
    coefficients
        Those of ``table`` in the order of the kernel.
    """

    shape: DensityShape
    table: RadialTable
    coefficients: Tensor


def density_table(t: int, layer: LoweredLayer, model: LoweredModel, pairs: PairTables) -> DensityTable:
    """Return the table of the density of layer ``t``.

    Raises
    ------
    TableError
        If no table is accurate enough.
    """
    functions = [density_functions(model, layer.density.network, pair) for pair in pairs.pairs]
    table = tabulate(functions, torch.eye(1, dtype=torch.float64), model.cutoff, _SLOPE_TOLERANCE)
    radials = FromTable(table.degree, table.n_tables)
    coefficients = radials.with_zeros(table.coefficients).reshape(-1).contiguous()
    return DensityTable(DensityShape(f"Density{t}", radials), table, coefficients)
