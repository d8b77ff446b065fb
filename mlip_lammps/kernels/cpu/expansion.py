"""The plan of an atomic cluster expansion for the template in ``cpu/expansion.h``."""

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
    terms = _terms(element, nodes)
    groups: dict[tuple[int, ...], list[tuple[tuple[int, ...], Tensor]]] = {}
    for factors, coefficients in terms.items():
        half = len(factors) // 2
        left, right = nodes.product(factors[: len(factors) - half]), nodes.product(factors[len(factors) - half :])
        groups.setdefault(left, []).append((right, coefficients))
    numbers = [number for e, _, order in nodes.order for number in (e, order, nodes.sums[e, _, order] - order)]
    numbers += [node for pair in nodes.pairs for node in pair]
    ordered = sorted(groups.items(), key=lambda item: nodes.place(item[0]))
    for left, entries in ordered:
        entries.sort(key=lambda entry: nodes.place(entry[0]))
        numbers += [nodes.place(left), len(entries)]
    numbers += [nodes.place(right) for _, entries in ordered for right, _ in entries]
    n_nodes = nodes.n_inputs + len(nodes.pairs)
    header = [len(nodes.order), len(nodes.pairs), len(groups), n_nodes]
    radial = [element.radial[e, n, order] for e, n, order in nodes.order]
    of_terms = [_padded(coefficients, shape.n_out) for _, entries in ordered for _, coefficients in entries]
    return header, numbers, torch.cat([*radial, *of_terms, _linear(element, shape).flatten()])


def _terms(element: ElementExpansion, nodes: _Nodes) -> dict[tuple[int, ...], Tensor]:
    """Return the coefficients of each product of sorted sums; its conjugate has the same real part."""
    terms: dict[tuple[int, ...], Tensor] = {}
    ranks = sorted(rank for rank in element.factors if rank > 1)
    for rank in ranks:
        for factors in element.factors[rank].tolist():
            for e, n, order, _ in factors:
                nodes.sum(e, n, order)
    for rank in ranks:
        rows = zip(element.factors[rank].tolist(), element.coefficients[rank], strict=True)
        for factors, coefficients in rows:
            # sum of m is 0, so the phases of the conjugate have the product 1
            key, other = (
                tuple(sorted(nodes.sum(e, n, order) + sign * m for e, n, order, m in factors)) for sign in (1, -1)
            )
            key = min(key, other)
            terms[key] = terms[key] + coefficients if key in terms else coefficients
    return terms


def _linear(element: ElementExpansion, shape: ExpansionShape) -> Tensor:
    """Return the weights of the moments of l = 0, shape (n_out, n_elements, n_functions)."""
    found = torch.zeros(shape.n_out, shape.n_elements, shape.n_functions, dtype=torch.float64)
    if 1 in element.factors:
        for ((e, n, _, _),), coefficients in zip(element.factors[1].tolist(), element.coefficients[1], strict=True):
            found[: len(coefficients), e, n] += coefficients
    return found


def _padded(coefficients: Tensor, width: int) -> Tensor:
    return torch.nn.functional.pad(coefficients, (0, width - len(coefficients)))
