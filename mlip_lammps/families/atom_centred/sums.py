"""Sums over neighbours by element, and over pairs of neighbours by pair of elements."""

from itertools import combinations_with_replacement

import torch
from torch import Tensor

from mlip_lammps.families.chain import EdgeGraph


class ElementSums:
    """Sums of functions of edges and angles at each centre, apart for each element or pair of elements.

    Attributes
    ----------
    pairs
        Pairs of rows of the element table, (a, b) with a <= b, in the order of the sums over angles.
    """

    def __init__(self, n_elements: int):
        self.n_elements = n_elements
        self.pairs = tuple(combinations_with_replacement(range(n_elements), 2))
        place = {pair: k for k, pair in enumerate(self.pairs)}
        self._pair_rows = torch.tensor(
            [place[min(a, b), max(a, b)] for a in range(n_elements) for b in range(n_elements)]
        )

    def over_edges(self, columns: Tensor, graph: EdgeGraph) -> Tensor:
        """Return the sums over edges, shape (n_local, n_elements * n_columns).

        Parameters
        ----------
        columns
            Values of each function on all edges, shape (n_columns, n_edges).
        """
        slots = graph.edge_centre * self.n_elements + graph.neighbour_species()
        return _sum(columns, slots, graph.n_local, self.n_elements)

    def over_angles(self, columns: Tensor, graph: EdgeGraph) -> Tensor:
        """Return the sums over angles, shape (n_local, n_pairs * n_columns).

        Parameters
        ----------
        columns
            Values of each function on all angles, shape (n_columns, n_angles).
        """
        first, second = graph.angle_edges[:, 0], graph.angle_edges[:, 1]
        neighbours = graph.neighbour_species()
        both = neighbours.index_select(0, first) * self.n_elements + neighbours.index_select(0, second)
        pairs = self._pair_rows.index_select(0, both)
        slots = graph.edge_centre.index_select(0, first) * len(self.pairs) + pairs
        return _sum(columns, slots, graph.n_local, len(self.pairs))


def _sum(columns: Tensor, slots: Tensor, n_local: int, n_kinds: int) -> Tensor:
    sums = columns.new_zeros(len(columns), n_local * n_kinds).index_add(1, slots, columns)
    return sums.view(len(columns), n_local, n_kinds).permute(1, 2, 0).reshape(n_local, n_kinds * len(columns))
