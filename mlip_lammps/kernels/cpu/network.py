"""Constants of the radial network for the template in ``cpu/network.h``."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.cpu.product import in_panels
from mlip_lammps.kernels.cpu.simd import most_lanes, whole_vectors
from mlip_lammps.kernels.lowered import LoweredLayer
from mlip_lammps.kernels.radial_constants import RadialBasis


@dataclass(frozen=True)
class NetworkShape:
    """What the radial network of a layer looks like up to its last hidden functions, weights apart.

    Attributes
    ----------
    n_basis, hidden_widths
        Of the trained network; a network without hidden layers gives its basis.
    """

    name: str
    dtype: torch.dtype
    n_basis: int
    hidden_widths: tuple[int, ...]
    cutoff_power: int
    is_cutoff_on_basis: bool

    @classmethod
    def of(cls, name: str, dtype: torch.dtype, basis: RadialBasis, layer: LoweredLayer) -> "NetworkShape":
        """Return the shape of a layer's network."""
        matrices = layer.radial.matrices
        hidden = tuple(matrix.shape[1] for matrix in matrices[:-1])
        return cls(name, dtype, matrices[0].shape[0], hidden, basis.cutoff_power, basis.is_cutoff_on_basis)

    @property
    def n_functions(self) -> int:
        """Functions before the last matrix of the trained network."""
        return self.hidden_widths[-1] if self.hidden_widths else self.n_basis

    @property
    def width(self) -> int:
        """Numbers of an edge in the result: whole vectors, zeros after the functions."""
        return whole_vectors(self.n_functions, self.dtype)

    def source(self) -> str:
        """Return the struct that the template ``Network`` takes."""
        columns = [whole_vectors(width, self.dtype) for width in self.hidden_widths]
        rows = [self.n_basis, *self.hidden_widths][: len(columns)]
        sizes = [r * c for r, c in zip(rows, columns, strict=True)]
        arrays = "".join(
            f"  static constexpr int {name}[] = {{{', '.join(map(str, values or [0]))}}};\n"
            for name, values in (
                ("ROWS", rows),
                ("COLUMNS", columns),
                ("MATRIX", [sum(sizes[:k]) for k in range(len(sizes))]),
            )
        )
        return f"""struct {self.name} {{
  using T = {C_TYPES[self.dtype]};
  static constexpr int N = {self._n_lanes}, N_DOUBLE = {most_lanes(torch.float64)}, N_BASIS = {self.n_basis};
  static constexpr int WIDTH = {self.width}, N_LAYERS = {len(columns)}, LARGEST = {max(columns, default=1)};
  static constexpr int CUTOFF_POWER = {self.cutoff_power};
  static constexpr bool IS_CUTOFF_ON_BASIS = {str(self.is_cutoff_on_basis).lower()};
{arrays}}};
"""

    def matrices(self, basis: RadialBasis, layer: LoweredLayer) -> tuple[Tensor, Tensor]:
        """Return the hidden matrices in the order of the kernel, and the last one, shape (n_functions, n_weights).

        What multiplies the basis and the activations is in the matrix that follows.
        """
        *hidden, last = layer.radial.matrices
        scaled, factor = [], basis.factor
        for matrix, width in zip(hidden, self.hidden_widths, strict=True):
            padded = torch.nn.functional.pad(factor * matrix, (0, whole_vectors(width, self.dtype) - width))
            scaled.append(in_panels(padded, self._n_lanes))
            factor = layer.radial.scale
        # a tensor of no numbers has no address
        flat = torch.cat(scaled) if scaled else torch.zeros(1)
        return flat.to(self.dtype), factor * last

    @property
    def _n_lanes(self) -> int:
        return most_lanes(self.dtype)
