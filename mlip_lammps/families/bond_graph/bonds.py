"""The bonds of a chain's graph: edges shorter than a cutoff, which form angles."""

from typing import Any

import torch
from torch import Tensor

from mlip_lammps.families.chain import EdgeGraph
from mlip_lammps.kernels.torch.rows import select_rows, sum_rows

MAX_BONDS = 40
"""Bonds of an atom in a row. The sphere of 3 angstrom around an atom has 28 in diamond and 14 in iron."""
_PADDING = 2
"""Rows after those of the bonds: of angles between padding edges. A size of 0 or 1 would need another program."""


class _Rows(torch.autograd.Function):
    """Rows of edges for the bonds, or of bonds for the edges.

    An edge is at most one bond, so neither the rows nor their gradients need a sum. With a sum, AOTInductor of torch
    2.13 adds the other use of the edges before the sum is there, and the check of the export fails.
    """

    @staticmethod
    def forward(values: Tensor, rows: Tensor, rows_of_gradients: Tensor) -> Tensor:
        return values.index_select(0, rows)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[2])

    @staticmethod
    def backward(ctx: Any, gradients: Tensor) -> tuple[Tensor, None, None]:
        (rows_of_gradients,) = ctx.saved_tensors
        return gradients.index_select(0, rows_of_gradients), None, None


class Bonds:
    """The bonds and the ordered pairs of bonds of each centre.

    Parameters
    ----------
    graph
        Graph of a program; its ``angle_edges`` are pairs of bonds.
    cutoff
        Length in angstrom below which an edge is a bond.
    far
        Component in angstrom of the vectors of padding: each radial function vanishes at this distance.
    dtype
        Precision of ``is_real``.

    Attributes
    ----------
    edges, centres, neighbours
        Edge of each bond, and the atoms of the edge.
    vectors, distances, units
        Vectors of bonds in angstrom, their lengths and directions, float64; ``far`` in the rows of padding.
    is_real
        1 for bonds and 0 for padding, shape (n_bonds, 1).
    counts
        Number of bonds of each centre, shape (n_local,).
    pairs
        Bonds of each angle, shape (2, n_angles).
    first, second
        Bonds of each ordered angle, shape (2 n_angles,): those of ``pairs``, and then the same in the other order.
    """

    def __init__(self, graph: EdgeGraph, cutoff: float, far: float, dtype: torch.dtype):
        lengths = graph.edge_vectors.detach().square().sum(dim=1).sqrt()
        is_bond = lengths < cutoff
        found = is_bond.nonzero()[:, 0]
        n_bonds = found.shape[0]
        self.edges = torch.cat([found, found.new_zeros(_PADDING)])
        is_real = torch.cat([torch.ones_like(found), found.new_zeros(_PADDING)])[:, None] > 0
        self.is_real = is_real.to(dtype)
        self.centres = graph.edge_centre.index_select(0, self.edges)
        self.neighbours = graph.edge_neighbour.index_select(0, self.edges)
        order = is_bond.cumsum(0)
        self._bond_of_edge = torch.where(is_bond, order - 1, n_bonds)
        self.vectors = torch.where(is_real, self.of_edges(graph.edge_vectors), torch.full_like(lengths[:1, None], far))
        self.distances = self.vectors.square().sum(dim=1).sqrt()
        self.units = self.vectors / self.distances[:, None]

        self.counts = torch.zeros_like(graph.centre_species).index_add(0, graph.edge_centre, is_bond.to(torch.int64))
        before = self.counts.cumsum(0) - self.counts
        places = order.index_select(0, self.edges) - 1 - before.index_select(0, self.centres)
        rows = self.centres * MAX_BONDS + places.clamp(max=MAX_BONDS - 1)
        self._n_rows = graph.n_local * MAX_BONDS
        self._rows = torch.where(is_real[:, 0], rows, self._n_rows)

        self.pairs = self._bond_of_edge.index_select(0, graph.angle_edges.reshape(-1)).view(-1, 2).unbind(1)
        first, second = self.pairs
        self.first, self.second = torch.cat([first, second]), torch.cat([second, first])

    def of_edges(self, values: Tensor) -> Tensor:
        """Return rows of edges for the bonds; the results of padding must have no gradients."""
        return _Rows.apply(values, self.edges, self._bond_of_edge)

    def to_edges(self, values: Tensor) -> Tensor:
        """Return rows of bonds for the edges; those of other edges are zero."""
        values = values * self.is_real
        return _Rows.apply(values, self._bond_of_edge, self.edges)

    def by_atom(self, values: Tensor) -> Tensor:
        """Return values of bonds in the rows of their centres, shape (n_local * MAX_BONDS, width); others are zero."""
        return sum_rows(values, self._rows, self._n_rows + 1)[: self._n_rows]

    def from_atoms(self, values: Tensor) -> Tensor:
        """Return the inverse of ``by_atom``; rows of padding have any value."""
        return select_rows(values, self._rows.clamp(max=self._n_rows - 1))

    def energies_of_too_many(self) -> Tensor:
        """Return zero, and no number for an atom with more bonds than a row has, shape (n_local,), float64.

        Such an atom has no energy rather than a wrong one.
        """
        return torch.where(self.counts > MAX_BONDS, torch.nan, 0.0).to(torch.float64)
