"""Weights in e3nn's order as matrices between components and channels; e3nn's normalisations are folded in."""

from collections.abc import Iterator

import numpy as np
import torch
from e3nn import o3
from torch import Tensor

from mlip_lammps.families.mace.couplings import coupling
from mlip_lammps.families.mace.spec import MaceModel
from mlip_lammps.kernels.lowered import ConvolutionPath, LinearBlock


class WeightTable:
    """Weights as float64 tensors, and the indices of the chosen elements."""

    def __init__(self, trained: MaceModel, rows: list[int]):
        self.trained = trained
        self.spec = trained.spec
        self.weights = trained.weights
        self.rows = rows

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.weights[name], dtype=np.float64))


def n_components(irreps: o3.Irreps) -> int:
    """Return the number of components of one channel."""
    return sum(ir.dim for _, ir in irreps)


def starts_of(irreps: o3.Irreps) -> list[int]:
    """Return the first component of each irrep in the layout with the channel as innermost index."""
    dims = [ir.dim for _, ir in irreps]
    return [sum(dims[:b]) for b in range(len(dims))]


def columns_of(irreps: o3.Irreps, n_channels: int) -> Iterator[tuple[int, o3.Irrep, slice, int]]:
    """Yield (entry, irrep, its copies, first component) for each ``n_channels`` copies of an entry."""
    start = 0
    for k, (mul, ir) in enumerate(irreps):
        for first in range(0, mul, n_channels):
            yield k, ir, slice(first, first + n_channels), start
            start += ir.dim


def matrices_of(weight: Tensor, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> dict[tuple[int, int], Tensor]:
    """Return the normalised matrix of each (input entry, output entry) pair of an ``o3.Linear`` with ``weight``."""
    pairs = [
        (i, k) for i, (_, ir_in) in enumerate(irreps_in) for k, (_, ir_out) in enumerate(irreps_out) if ir_in == ir_out
    ]
    matrices, offset = {}, 0
    for i, k in pairs:
        n_in, n_out = irreps_in[i].mul, irreps_out[k].mul
        fan_in = sum(irreps_in[a].mul for a, b in pairs if b == k)
        matrices[i, k] = weight[offset : offset + n_in * n_out].view(n_in, n_out) / fan_in**0.5
        offset += n_in * n_out
    return matrices


def linear_blocks(weight: Tensor, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> tuple[LinearBlock, ...]:
    """Return the blocks of an ``o3.Linear``; an entry with several times the channels becomes several blocks."""
    starts, n_channels = starts_of(irreps_in), min(mul for mul, _ in irreps_out)
    matrices = matrices_of(weight, irreps_in, irreps_out)
    return tuple(
        LinearBlock(starts[i], 1, start, ir.dim, matrix[:, columns].contiguous())
        for (i, out), matrix in matrices.items()
        for k, ir, columns, start in columns_of(irreps_out, n_channels)
        if k == out
    )


def with_channels(matrix: Tensor, n_rows: int | None = None, n_columns: int | None = None) -> Tensor:
    """Return a matrix with zeros for missing rows and columns."""
    n_rows = matrix.shape[0] if n_rows is None else n_rows
    n_columns = matrix.shape[1] if n_columns is None else n_columns
    padding = (0, n_columns - matrix.shape[1], 0, n_rows - matrix.shape[0])
    return torch.nn.functional.pad(matrix, padding).contiguous()


def element_matrices(
    table: WeightTable, name: str, irreps_in: o3.Irreps, irreps_out: o3.Irreps
) -> dict[tuple[int, int], Tensor]:
    """Return matrices, shape (n_chosen, n_in, n_out), for each pair of a tensor product with one-hot elements."""
    weight, n_elements = table[name], len(table.spec.atomic_numbers)
    pairs = [
        (i, k) for i, (_, ir_in) in enumerate(irreps_in) for k, (_, ir_out) in enumerate(irreps_out) if ir_in == ir_out
    ]
    matrices, offset = {}, 0
    for i, k in pairs:
        n_in, n_out = irreps_in[i].mul, irreps_out[k].mul
        fan_in = sum(irreps_in[a].mul * n_elements for a, b in pairs if b == k)
        block = weight[offset : offset + n_in * n_elements * n_out].view(n_in, n_elements, n_out)
        matrices[i, k] = block.permute(1, 0, 2)[table.rows] / fan_in**0.5
        offset += n_in * n_elements * n_out
    return matrices


def element_blocks(
    table: WeightTable, name: str, irreps_in: o3.Irreps, irreps_out: o3.Irreps
) -> tuple[LinearBlock, ...]:
    """Return the blocks of a tensor product with one-hot elements."""
    starts_in, starts_out = starts_of(irreps_in), starts_of(irreps_out)
    return tuple(
        LinearBlock(starts_in[i], 1, starts_out[k], irreps_out[k].ir.dim, matrix)
        for (i, k), matrix in element_matrices(table, name, irreps_in, irreps_out).items()
    )


class MidLayout:
    """Order of the convolution's outputs: by irrep, within an irrep by m (outermost), then by path."""

    def __init__(self, irreps_mid: o3.Irreps):
        entries: dict[o3.Irrep, list[int]] = {}
        for k, (_, ir) in enumerate(irreps_mid):
            entries.setdefault(ir, []).append(k)
        self.group_start: dict[o3.Irrep, int] = {}
        self.copies = {ir: len(members) for ir, members in entries.items()}
        self.place: dict[int, int] = {}
        start = 0
        for ir, members in entries.items():
            self.group_start[ir] = start
            for position, k in enumerate(members):
                self.place[k] = start + position
            start += ir.dim * len(members)


def convolution_paths(
    trained: MaceModel, t: int, irreps_in: o3.Irreps, irreps_mid: o3.Irreps, mid: MidLayout
) -> tuple[ConvolutionPath, ...]:
    """Return the paths of the convolution of layer ``t`` (from 1)."""
    starts = starts_of(irreps_in)
    paths = []
    for i_in, l_edge, i_mid in trained.spec.layers[t - 1].paths:
        l_in, ir_out = irreps_in[i_in].ir.l, irreps_mid[i_mid].ir
        symbols = coupling(trained, t, l_in, l_edge, ir_out.l) * ir_out.dim**0.5
        paths.append(
            ConvolutionPath(
                in_start=starts[i_in],
                out_start=mid.place[i_mid],
                out_stride=mid.copies[ir_out],
                l_in=l_in,
                l_edge=l_edge,
                l_out=ir_out.l,
                # In MACE, edge vectors point from the neighbour to the centre; here they point to the neighbour.
                coupling=symbols * (-1.0) ** l_edge,
            )
        )
    return tuple(paths)
