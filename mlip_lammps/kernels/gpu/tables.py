"""Radial tables in the GPU plan of a model: one, or one for each kind of pair of elements."""

import torch
from torch import Tensor

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.kernels.gpu.plan import GpuPlan, Group
from mlip_lammps.kernels.pair_tables import PairKinds, PairTable
from mlip_lammps.kernels.radial_table import RadialTable

_MOST_BYTES = 4 << 30
"""Of the tables of a layer: GPU files contain those of all their elements."""
_MOST_NUMBERS = 2**31 - 2**24
"""Kernels count coefficients in 32 bits, with those of an interval of zeros for each pair."""


def tables_of_all_pairs(table: PairTable, kinds: PairKinds, value_bytes: int) -> RadialTable:
    """Return the tables of all kinds of pairs, one after another.

    Raises
    ------
    UserInputError
        If they are too large.
    """
    n_numbers = len(kinds.pairs) * table.n_numbers
    n_bytes = n_numbers * value_bytes
    if n_numbers > _MOST_NUMBERS or n_bytes > _MOST_BYTES:
        raise UserInputError(
            f"the radial tables of {len(kinds.pairs):,} pairs of elements would take {n_bytes / 1e9:.0f} GB in a layer "
            f"(at most {_MOST_BYTES / 1e9:.1f} GB): a GPU file contains those of all its elements; name the elements "
            "of the simulation, as in --elements Si,O"
        )
    return table.tables(torch.tensor(kinds.pairs, dtype=torch.int64), torch.float64)


def table_parameters(c_type: str, kinds: PairKinds | None) -> Group:
    """Return the parameters of kernels for the struct ``Table``."""
    of_pairs = ("const int *kind_of_pair", "const int *element_of", "int n_elements") if kinds is not None else ()
    return Group((f"const {c_type} *table", "double intervals_per_angstrom", "int n_intervals", *of_pairs))


def table_arguments(
    plan: GpuPlan,
    name: str,
    coefficients: Tensor,
    table: RadialTable,
    kinds: PairKinds | None,
    dtype: torch.dtype | None = None,
) -> tuple:
    """Add a table to the weights and return the arguments for ``table_parameters``.

    Parameters
    ----------
    coefficients
        In kernel order, shape (n_tables * n_intervals, ...).
    """
    rows = coefficients.reshape(table.n_tables, table.n_intervals, -1)
    plan.weight(name, torch.cat([rows, rows.new_zeros(table.n_tables, 1, rows.shape[2])], dim=1), dtype)
    arguments = name, table.n_intervals / table.cutoff, table.n_intervals
    if kinds is None:
        return arguments
    plan.weight("kind_of_pair", kinds.kind_of_pair, torch.int32)
    return *arguments, "kind_of_pair", "species", plan.n_elements
