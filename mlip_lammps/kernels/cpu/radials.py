"""Where a sum over neighbours has its radial functions from: what its C++ and its operator say of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.functions import Input, Scalar


@dataclass(frozen=True)
class FromTable:
    """A table of polynomials, or one for each kind of pair of elements that a run contains.

    Attributes
    ----------
    n_tables
        Largest number of tables.
    has_pairs
        Whether each edge has the number of its table.
    """

    degree: int
    n_tables: int = 1
    has_pairs: bool = False

    def members(self, kernel: str) -> str:
        """Return the C++ members of a shape; ``kernel`` begins the name of the template in its header."""
        return (
            f"  static constexpr int DEGREE = {self.degree}, N_TABLES = {self.n_tables};\n"
            f"  static constexpr bool HAS_PAIRS = {str(self.has_pairs).lower()};\n"
            f"  template <typename Shape> using Radials = {kernel}FromTable<Shape>;\n"
        )

    def inputs(self, c_type: str) -> tuple[Input | Scalar, ...]:
        """Return what the operator takes besides edges and features."""
        table = Input("table", c_type), Scalar("intervals_per_angstrom", "double"), Scalar("n_intervals", "int64_t")
        return (*table, Input("tables", "int64_t")) if self.has_pairs else table

    def with_zeros(self, coefficients: Tensor) -> Tensor:
        """Return coefficients (n_tables, n_intervals, ...) with an interval of zeros at the end of each table."""
        return torch.cat([coefficients, torch.zeros_like(coefficients[:, :1])], dim=1)


@dataclass(frozen=True)
class FromNetwork:
    """The trained network: its hidden functions on every edge.

    Attributes
    ----------
    n_functions, stride
        Hidden functions and the numbers of an edge.
    has_last_matrix
        Whether the sum takes the functions after the network's last matrix.
    """

    n_functions: int
    stride: int
    has_last_matrix: bool

    def members(self, kernel: str) -> str:
        """As for a table."""
        return (
            f"  static constexpr int N_HIDDEN = {self.n_functions}, HIDDEN_STRIDE = {self.stride};\n"
            f"  template <typename Shape> using Radials = {kernel}FromNetwork<Shape>;\n"
        )

    def inputs(self, c_type: str) -> tuple[Input | Scalar, ...]:
        """As for a table."""
        inputs = Input("values", c_type), Input("slopes", c_type)
        return (*inputs, Input("last", c_type)) if self.has_last_matrix else inputs


def in_braces(inputs: tuple[Input | Scalar, ...]) -> str:
    """Return the C++ initialiser of a source of radial functions."""
    return f"{{{', '.join(item.name for item in inputs)}}}"
