"""Constants of the density for the template in ``cpu/density.h``, and its table."""

from dataclasses import dataclass

from torch import Tensor

from mlip_lammps.kernels.cpu.radials import FromTable
from mlip_lammps.kernels.lowered import LoweredLayer, LoweredModel
from mlip_lammps.kernels.pair_tables import PairKinds, PairTable, table_of_density
from mlip_lammps.kernels.radial_table import RadialTable


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
    table = table_of_density(model, layer.density.network, kinds)
    if isinstance(table, PairTable):
        radials = FromTable(table.degree, len(kinds.pairs), has_pairs=True)
        return DensityTable(DensityShape(f"Density{t}", radials), table, None)
    radials = FromTable(table.degree)
    coefficients = radials.with_zeros(table.coefficients.unsqueeze(0)).reshape(-1).contiguous()
    return DensityTable(DensityShape(f"Density{t}", radials), table, coefficients)
