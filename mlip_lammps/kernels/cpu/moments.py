"""Constants of the moments for the template in ``cpu/moments.h``."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.cpu.harmonics import harmonics_steps
from mlip_lammps.kernels.cpu.radials import FromNetwork, FromTable
from mlip_lammps.kernels.cpu.simd import lanes


@dataclass(frozen=True)
class MomentsShape:
    """What the moments of a layer look like: (l_max + 1)^2 harmonics, elements, radial functions."""

    name: str
    dtype: torch.dtype
    n_functions: int
    n_elements: int
    l_max: int
    radials: FromTable | FromNetwork

    @property
    def n_harmonics(self) -> int:
        return (self.l_max + 1) ** 2

    @property
    def width(self) -> int:
        return self.n_harmonics * self.n_elements * self.n_functions

    def source(self) -> str:
        """Return the struct that the template ``Moments`` takes."""
        n_lanes = lanes(self.n_functions, self.dtype)
        return f"""struct {self.name} {{
  using T = {C_TYPES[self.dtype]};
  static constexpr int N = {n_lanes}, N_BLOCKS = {self.n_functions // n_lanes}, N_ELEMENTS = {self.n_elements};
  static constexpr int N_Y = {(self.l_max + 1) ** 2};
{self.radials.members("Moments")}{harmonics_steps(self.l_max)}}};
"""

    def table_layout(self, coefficients: Tensor) -> Tensor:
        """Return tables in the order of the kernel, shape (n_tables, n_values).

        ``coefficients`` have the shape (n_tables, n_intervals, n_functions, degree + 1).
        """
        n_lanes = lanes(self.n_functions, self.dtype)
        shape = self.n_functions // n_lanes, n_lanes, coefficients.shape[3]
        blocks = coefficients.reshape(*coefficients.shape[:2], *shape).transpose(3, 4)
        return self.radials.with_zeros(blocks.to(self.dtype)).flatten(1).contiguous()
