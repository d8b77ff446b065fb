"""Constants of the linear maps for the template in ``cpu/linear.h``."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.cpu.simd import lanes, n_registers
from mlip_lammps.kernels.lowered import LinearBlock


@dataclass(frozen=True)
class LinearShape:
    """What the linear map looks like, weights apart.

    Attributes
    ----------
    blocks
        For each: first number of the source and of the result, 2 l + 1, rows and columns of the matrix.
    """

    name: str
    dtype: torch.dtype
    n_elements: int
    width_in: int
    width_out: int
    blocks: tuple[tuple[int, int, int, int, int], ...]

    @classmethod
    def of(
        cls, name: str, dtype: torch.dtype, blocks: Sequence[LinearBlock], n_components_in: int, n_components_out: int
    ) -> "LinearShape":
        """Return the shape of ``blocks``."""
        n_columns = blocks[0].matrix.shape[-1]
        n_rows = blocks[0].matrix.shape[-2] // blocks[0].in_copies
        return cls(
            name,
            dtype,
            blocks[0].matrix.shape[0] if blocks[0].matrix.ndim == 3 else 1,
            n_components_in * n_rows,
            n_components_out * n_columns,
            tuple(
                (b.in_start * n_rows, b.out_start * n_columns, b.dim, b.in_copies * n_rows, n_columns) for b in blocks
            ),
        )

    def transposed(self) -> "LinearShape":
        """Return the shape of the adjoint."""
        turned = tuple((out, start, dim, columns, rows) for start, out, dim, rows, columns in self.blocks)
        return LinearShape(
            f"{self.name}T", self.dtype, self.n_elements, self.width_out, self.width_in, turned
        )

    def source(self) -> str:
        """Return the structs that the template ``Linear`` takes, of the map and of its adjoint."""
        return self._struct() + self.transposed()._struct()

    def matrices(self, blocks: Sequence[LinearBlock]) -> tuple[Tensor, Tensor]:
        """Return the matrices of all elements, and those of the adjoint, in the order of the kernel."""
        stacked = [b.matrix if b.matrix.ndim == 3 else b.matrix.unsqueeze(0) for b in blocks]
        turned = [matrix.transpose(1, 2) for matrix in stacked]
        return self._in_panels(stacked), self.transposed()._in_panels(turned)

    def _in_panels(self, matrices: Sequence[Tensor]) -> Tensor:
        """Return ``matrices`` (n_elements, rows, columns) in the order of reading: element, block, panel, row."""
        width = self._n_lanes()
        ordered = []
        for matrix, n_vectors in zip(matrices, self._panels(), strict=True):
            panels = matrix.reshape(self.n_elements, matrix.shape[1], -1, n_vectors * width)
            ordered.append(panels.transpose(1, 2).reshape(self.n_elements, -1))
        return torch.cat(ordered, dim=1).reshape(-1).to(self.dtype).contiguous()

    def _n_lanes(self) -> int:
        return min(lanes(columns, self.dtype) for *_, columns in self.blocks)

    def _panels(self) -> list[int]:
        """Return for each block how many vectors of columns are worked on together: as many as registers hold."""
        sizes = (4, 2) if n_registers() >= 32 else (2,)
        vectors = [columns // self._n_lanes() for *_, columns in self.blocks]
        return [next((size for size in sizes if count % size == 0), 1) for count in vectors]

    def _struct(self) -> str:
        starts, outs, dims, rows, columns = zip(*self.blocks, strict=True)
        sizes = [r * c for r, c in zip(rows, columns, strict=True)]
        offsets = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
        reached = sorted(out + m * c for out, d, c in zip(outs, dims, columns, strict=True) for m in range(d))
        covers = len(set(columns)) == 1 and reached == list(range(0, self.width_out, columns[0]))
        arrays = "".join(
            f"  static constexpr int {name}[] = {{{', '.join(map(str, values))}}};\n"
            for name, values in (
                ("IN_START", starts),
                ("OUT_START", outs),
                ("DIM", dims),
                ("ROWS", rows),
                ("COLUMNS", columns),
                ("PANEL", self._panels()),
                ("MATRIX", offsets),
            )
        )
        return f"""struct {self.name} {{
  using T = {C_TYPES[self.dtype]};
  static constexpr int N = {self._n_lanes()}, N_BLOCKS = {len(self.blocks)}, N_ELEMENTS = {self.n_elements};
  static constexpr int WIDTH_IN = {self.width_in}, WIDTH_OUT = {self.width_out}, MAX_DIM = {max(dims)};
  static constexpr bool COVERS = {"true" if covers else "false"};
{arrays}}};
"""
