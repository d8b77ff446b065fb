"""The C++ kernels of an atomic cluster expansion: moments of the base functions, and their products."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.density import DensityShape
from mlip_lammps.kernels.cpu.expansion import ExpansionShape, expansion_plan
from mlip_lammps.kernels.cpu.library import LibraryOperators
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.radials import FromNetwork, FromTable
from mlip_lammps.kernels.expansion import ClusterExpansion
from mlip_lammps.kernels.torch.expansion_operators import CoreRepulsion

_MULTIPLE = 8
_DTYPE = torch.float64
"""Products of several factors with coefficients of both signs cancel: float32 would lose most of its digits."""
_MOST_TABLE_BYTES = 256 << 20


class CpuExpansion(LibraryOperators, CoreRepulsion):
    """``ExpansionOperators`` in C++, in float64.

    Parameters
    ----------
    radial
        ``table``: the polynomials of the splines are a table of the kernel; ``exact``: torch evaluates the splines on
        every edge. The results are the same. Splines with different intervals, and many pairs, have no table.
    """

    def __init__(self, expansion: ClusterExpansion, radial: str, folder: Path):
        LibraryOperators.__init__(self, folder)
        CoreRepulsion.__init__(self, expansion)
        n_functions = -(-expansion.n_base // _MULTIPLE) * _MULTIPLE
        sizes = {"l_max": expansion.l_max, "n_elements": expansion.n_elements, "n_functions": n_functions}
        self._n_empty = n_functions - expansion.splines.n_functions
        self._core_shape: DensityShape | None = None
        self.has_table = radial != "exact" and _has_table(expansion, n_functions)
        if self.has_table:
            n_tables = expansion.n_elements**2
            radials = FromTable(3, n_tables, has_pairs=n_tables > 1)
            if expansion.core is not None:
                self._core_shape = DensityShape("Core1", radials)
                self._core_table = radials.with_zeros(expansion.core.polynomials()).flatten(1).contiguous()
        else:
            radials = FromNetwork(n_functions, n_functions, has_last_matrix=False)
        self.moments = MomentsShape("Moments1", _DTYPE, radials=radials, **sizes)
        if self.has_table:
            coefficients = torch.nn.functional.pad(expansion.splines.polynomials(), (0, 0, 0, self._n_empty))
            self._table = self.moments.table_layout(coefficients)
        sizes |= {"n_base": expansion.n_base, "n_out": expansion.n_densities}
        self.shape = ExpansionShape("Expansion1", _DTYPE, **sizes)
        self._plan, self._weights = expansion_plan(expansion, self.shape)
        shapes = self.moments, self.shape, self._core_shape
        self.shapes = [shape for shape in shapes if shape is not None]

    def record(self) -> dict[str, Any]:
        return {"radial": "table" if self.has_table else "exact"}

    def densities(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        vectors = vectors.contiguous()
        pairs = centre_species.index_select(0, centre) * self._expansion.n_elements + source
        radial = self._arguments(self._table, pairs) if self.has_table else self._values(vectors.detach(), pairs)
        moments = self.library.operators[self.moments.name](vectors, centre, source, *radial, centre_species)
        return self.library.operators[self.shape.name](moments, centre_species, self._plan, self._weights)

    def core(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        if self._core_shape is None:
            return super().core(vectors, centre, source, centre_species)
        pairs = centre_species.index_select(0, centre) * self._expansion.n_elements + source
        arguments = vectors.contiguous(), centre, *self._arguments(self._core_table, pairs), centre_species
        return self.library.operators[self._core_shape.name](*arguments)[:, 0]

    def _arguments(self, table: Tensor, pairs: Tensor) -> tuple[Tensor | float | int, ...]:
        splines = self._expansion.splines
        n_intervals, cutoff = splines.n_intervals[0], splines.cutoffs[0]
        table = table, n_intervals / cutoff, n_intervals
        return table if self._expansion.n_elements == 1 else (*table, pairs)

    def _values(self, vectors: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
        found = self._expansion.splines.values_and_slopes(vectors.square().sum(dim=1).sqrt(), pairs)
        return tuple(torch.nn.functional.pad(one, (0, self._n_empty)).contiguous() for one in found)


def _has_table(expansion: ClusterExpansion, n_functions: int) -> bool:
    splines = expansion.splines
    n_bytes = 8 * 4 * n_functions * sum(splines.n_intervals)
    return len(set(zip(splines.n_intervals, splines.cutoffs, strict=True))) == 1 and n_bytes <= _MOST_TABLE_BYTES


def make_operators(expansion: ClusterExpansion, radial: str, scratch: Path) -> CpuExpansion:
    """Return the operators; their library is compiled into ``scratch``."""
    return CpuExpansion(expansion, radial, scratch)
