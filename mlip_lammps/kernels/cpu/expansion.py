"""The plan of an atomic cluster expansion for the template in ``cpu/expansion.h``."""

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.cpu.simd import most_lanes
from mlip_lammps.kernels.expansion import ClusterExpansion, ElementExpansion

_HEADER = 6


@dataclass(frozen=True)
class ExpansionShape:
    """Sizes of an expansion; its terms are an input of the operator.

    Attributes
    ----------
    n_functions
        Functions of the moments, of which the last are zero: whole vectors.
    n_out
        Densities.
    """

    name: str
    dtype: torch.dtype
    l_max: int
    n_elements: int
    n_functions: int
    n_base: int
    n_out: int

    @property
    def width(self) -> int:
        return (self.l_max + 1) ** 2 * self.n_elements * self.n_functions

    def source(self) -> str:
        """Return the struct that the template ``Expansion`` takes."""
        return f"""struct {self.name} {{
  using T = {C_TYPES[self.dtype]};
  static constexpr int N = {most_lanes(self.dtype)}, L_MAX = {self.l_max}, N_ELEMENTS = {self.n_elements};
  static constexpr int N_FUNCTIONS = {self.n_functions}, N_BASE = {self.n_base}, N_OUT = {self.n_out};
}};
"""


@dataclass
class _Nodes:
    """Nodes of one element: sums, and products of two nodes, by the sorted sums that they are a product of."""

    sums: dict[tuple[int, int, int], int] = field(default_factory=dict)
    order: list[tuple[int, int, int]] = field(default_factory=list)
    products: dict[tuple[int, ...], int] = field(default_factory=dict)
    pairs: list[tuple[int, int]] = field(default_factory=list)
    n_inputs: int = 0

    def sum(self, element: int, n: int, order: int) -> int:
        """Return the node of m = 0."""
        key = element, n, order
        if key not in self.sums:
            self.sums[key] = self.n_inputs + order
            self.order.append(key)
            self.n_inputs += 2 * order + 1
        return self.sums[key]

    def product(self, factors: tuple[int, ...]) -> tuple[int, ...]:
        """Make the node of a product of two or more sums, and of its parts; return ``factors``."""
        if len(factors) > 1 and factors not in self.products:
            left, right = self.product(factors[:-1]), factors[-1:]
            self.products[factors] = len(self.pairs)
            self.pairs.append((self.place(left), self.place(right)))
        return factors

    def place(self, factors: tuple[int, ...]) -> int:
        """Return a node; all sums must exist."""
        return factors[0] if len(factors) == 1 else self.n_inputs + self.products[factors]


def expansion_plan(expansion: ClusterExpansion, shape: ExpansionShape) -> tuple[Tensor, Tensor]:
    """Return plan (int64) and weights, flat, in the order of the kernel."""
    headers: list[int] = []
    numbers: list[int] = []
    weights: list[Tensor] = []
    n_weights = 0
    for element in expansion.elements:
        header, found, its_weights = _element_plan(element, shape)
        headers += [*header, shape.n_elements * _HEADER + len(numbers), n_weights]
        numbers += found
        weights.append(its_weights)
        n_weights += len(its_weights)
    return torch.tensor(headers + numbers, dtype=torch.int64), torch.cat(weights).to(shape.dtype)


def _element_plan(element: ElementExpansion, shape: ExpansionShape) -> tuple[list[int], list[int], Tensor]:
    nodes = _Nodes()
    terms, coefficients = _terms(element, nodes, shape.n_out)
    halves = []
    for row, factors in enumerate(terms):
        middle = len(factors) - len(factors) // 2
        left, right = nodes.product(factors[:middle]), nodes.product(factors[middle:])
        halves.append((nodes.place(left), nodes.place(right), row))
    halves.sort()
    groups = Counter(left for left, _, _ in halves)
    numbers = [number for e, n, order in nodes.order for number in (e, order, nodes.sums[e, n, order] - order)]
    numbers += [node for pair in nodes.pairs for node in pair]
    numbers += [number for group in groups.items() for number in group]
    numbers += [right for _, right, _ in halves]
    header = [len(nodes.order), len(nodes.pairs), len(groups), nodes.n_inputs + len(nodes.pairs)]
    radial = [element.radial[e, n, order] for e, n, order in nodes.order]
    of_terms = coefficients[[row for _, _, row in halves]]
    return header, numbers, torch.cat([*radial, of_terms.flatten(), _linear(element, shape).flatten()])


def _terms(element: ElementExpansion, nodes: _Nodes, n_out: int) -> tuple[list[tuple[int, ...]], Tensor]:
    """Return products of two or more sums, sorted, and their coefficients, shape (n_terms, n_out).

    A product and its conjugate have the same real part, so they are one.
    """
    ranks = sorted(rank for rank in element.factors if rank > 1)
    every = [factors for rank in ranks for factors in element.factors[rank].tolist()]
    for factors in every:
        for e, n, order, _ in factors:
            nodes.sum(e, n, order)
    terms: dict[tuple[int, ...], int] = {}
    rows = []
    for factors in every:
        # the sum of m is 0, so the phases of the conjugate have the product 1
        key, other = (
            tuple(sorted(nodes.sums[e, n, order] + sign * m for e, n, order, m in factors)) for sign in (1, -1)
        )
        rows.append(terms.setdefault(min(key, other), len(terms)))
    found = torch.zeros(len(terms), n_out, dtype=torch.float64)
    if rows:
        coefficients = torch.cat([element.coefficients[rank] for rank in ranks])
        found[:, : coefficients.shape[1]].index_add_(0, torch.tensor(rows), coefficients)
    return list(terms), found


def _linear(element: ElementExpansion, shape: ExpansionShape) -> Tensor:
    """Return the weights of the moments of l = 0, shape (n_out, n_elements, n_functions)."""
    found = torch.zeros(shape.n_out, shape.n_elements, shape.n_functions, dtype=torch.float64)
    if 1 in element.factors:
        for ((e, n, _, _),), coefficients in zip(element.factors[1].tolist(), element.coefficients[1], strict=True):
            found[: len(coefficients), e, n] += coefficients
    return found
