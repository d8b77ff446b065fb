"""Writes the C++ of the symmetric contractions: unrolled steps for the template in ``cpu/contraction.h``.

A polynomial is evaluated as nested sums, sum_a x_a (w_a + sum_b x_b (w_ab + sum_c x_c w_abc)), and its gradient in the
same sweep: going down the nest gives the product of the factors so far, coming back the sum below them, so that a term
of the highest degree costs two multiply-adds.
"""

from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.cpu.simd import lanes
from mlip_lammps.kernels.lowered import PolynomialOrder

_MOST_TERMS_OF_A_FUNCTION = 400


@dataclass(frozen=True)
class ContractionShape:
    """The sparse polynomial of one layer, weights apart.

    Attributes
    ----------
    n_elements
        Elements with weights of their own; 1 if all have the same.
    terms
        (output component, input components of the monomial, not decreasing) for each weight, by output.
    """

    name: str
    dtype: torch.dtype
    n_elements: int
    n_channels: int
    n_components_in: int
    n_components_out: int
    terms: tuple[tuple[int, tuple[int, ...]], ...]

    @property
    def width_in(self) -> int:
        return self.n_components_in * self.n_channels

    @property
    def width_out(self) -> int:
        return self.n_components_out * self.n_channels

    def source(self) -> str:
        """Return the struct that the template ``Contraction`` takes."""
        n_lanes = lanes(self.n_channels, self.dtype)
        n_blocks = self.n_channels // n_lanes
        pieces = list(self._pieces())
        functions, written = "", set()
        for k, (_, trees) in enumerate(pieces):
            functions += _value_function(k, trees, n_blocks) + _gradient_function(k, trees, n_blocks, written)
            written |= _all_components(trees)
        nowhere = "".join(f" down[{c}] = V{{}};" for c in range(self.n_components_in) if c not in written)
        values = "\n".join(f"    sum[{m}] += value_{k}<V>(in, w);" for k, (m, _) in enumerate(pieces))
        gradients = "\n".join(
            f"    gradient_{k}<V>(in, w, up[{m} * N_BLOCKS], down);" for k, (m, _) in enumerate(pieces)
        )
        return f"""struct {self.name} {{
  using T = {C_TYPES[self.dtype]};
  static constexpr int N = {n_lanes}, N_BLOCKS = {n_blocks}, N_IN = {self.n_components_in};
  static constexpr int N_OUT = {self.n_components_out}, N_TERMS = {len(self.terms)};
  static constexpr int N_ELEMENTS = {self.n_elements};
{functions}  template <typename V> static inline void values(const V *in, const V *w, V *sum)
  {{
{values}
  }}
  template <typename V> static inline void gradients(const V *in, const V *w, const V *up, V *down)
  {{
{gradients}
   {nowhere}
  }}
}};
"""

    def weights_layout(self, weights: Tensor) -> Tensor:
        """Return weights (n_elements, n_terms, n_channels) in the order of the kernel."""
        n_lanes = lanes(self.n_channels, self.dtype)
        blocks = weights.view(weights.shape[0], len(self.terms), self.n_channels // n_lanes, n_lanes)
        return blocks.transpose(1, 2).reshape(-1).to(self.dtype).contiguous()

    def _pieces(self) -> "Iterator[tuple[int, list[Node]]]":
        """Yield (output, trees) with no more terms than the compiler takes well in one function."""
        for m in range(self.n_components_out):
            rows = {factors: k for k, (output, factors) in enumerate(self.terms) if output == m}
            piece: list[Node] = []
            for tree in polynomial_trees(rows):
                if piece and sum(map(_count, piece)) + _count(tree) > _MOST_TERMS_OF_A_FUNCTION:
                    yield m, piece
                    piece = []
                piece.append(tree)
            if piece:
                yield m, piece


@dataclass
class Node:
    """A factor of monomials: the weight of the monomial that ends here, and the factors that may follow."""

    component: int
    row: int | None = None
    children: "dict[int, Node]" = field(default_factory=dict)


def polynomial_trees(rows: dict[tuple[int, ...], int]) -> list[Node]:
    """Return the monomials (factors: row of the weight) as nested sums."""
    root = Node(-1)
    for factors, row in rows.items():
        node = root
        for component in factors:
            node = node.children.setdefault(component, Node(component))
        node.row = row
    return list(root.children.values())


def _count(node: Node) -> int:
    return (node.row is not None) + sum(map(_count, node.children.values()))


def _components(node: Node) -> set[int]:
    return {node.component}.union(*map(_components, node.children.values()))


def _all_components(trees: Sequence[Node]) -> set[int]:
    return set().union(*map(_components, trees))


def _weight(node: Node) -> str:
    return "V{}" if node.row is None else f"w[{node.row}]"


def _value_function(number: int, trees: Sequence[Node], n_blocks: int) -> str:
    def lines(node: Node, above: int) -> list[str]:
        if not node.children:
            return [f"s{above} += {_weight(node)} * x{node.component};"]
        inner = [line for child in node.children.values() for line in lines(child, above + 1)]
        return [f"{{ V s{above + 1} = {_weight(node)};", *inner, f"s{above} += s{above + 1} * x{node.component}; }}"]

    body = [line for tree in trees for line in lines(tree, 0)]
    return (
        f"  template <typename V> static V value_{number}(const V *in, const V *w)\n  {{\n"
        + _statements([*_loads(trees, n_blocks), "V s0 = {};", *body, "return s0;"])
        + "  }\n"
    )


def _gradient_function(number: int, trees: Sequence[Node], n_blocks: int, written: Set[int]) -> str:
    """``t`` is the product of the gradient from above with the factors so far, ``s`` the sum below them.

    ``written``: components to which an earlier function has given a value.
    """

    def lines(node: Node, above: int) -> list[str]:
        c, depth = node.component, above + 1
        if not node.children:
            sum_above = [f"s{above} += {_weight(node)} * x{c};"] if above else []
            return [*sum_above, f"d{c} += t{above} * {_weight(node)};"]
        inner = [line for child in node.children.values() for line in lines(child, depth)]
        sum_above = f"s{above} += s{depth} * x{c};" if above else ""
        return [
            f"{{ const V t{depth} = t{above} * x{c}; V s{depth} = {_weight(node)};",
            *inner,
            f"{sum_above} d{c} += t{above} * s{depth}; }}",
        ]

    components = sorted(_all_components(trees))
    body = [line for tree in trees for line in lines(tree, 0)]
    starts = [f"V d{c} = {{}};" for c in components]
    ends = [f"down[{c}] {'+=' if c in written else '='} d{c};" for c in components]
    return (
        f"  template <typename V> static void gradient_{number}(const V *in, const V *w, const V t0, V *down)\n  {{\n"
        + _statements([*_loads(trees, n_blocks), *starts, *body, *ends])
        + "  }\n"
    )


def _loads(trees: Sequence[Node], n_blocks: int) -> list[str]:
    return [f"const V x{c} = in[{c * n_blocks}];" for c in sorted(_all_components(trees))]


def _statements(lines: Sequence[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)


def contraction_terms(
    name: str,
    dtype: torch.dtype,
    orders: Sequence[PolynomialOrder],
    n_components_in: int,
    n_components_out: int,
) -> tuple[ContractionShape, Tensor]:
    """Turn a polynomial with parameters into one with a weight for each (element, output, monomial, channel).

    Returns
    -------
    shape
        The terms.
    weights
        In the order of the kernel (``ContractionShape.weights_layout``).
    """
    terms, weights = polynomial_terms(orders, n_components_out)
    n_elements, n_channels = orders[0].weights.shape[0], orders[0].weights.shape[-1]
    shape = ContractionShape(name, dtype, n_elements, n_channels, n_components_in, n_components_out, terms)
    return shape, shape.weights_layout(weights)


def polynomial_terms(
    orders: Sequence[PolynomialOrder], n_components_out: int
) -> tuple[tuple[tuple[int, tuple[int, ...]], ...], Tensor]:
    """Return the terms as in ``ContractionShape`` and their weights (n_elements, n_terms, n_channels)."""
    sums: dict[tuple[int, tuple[int, ...]], Tensor] = {}
    for order in orders:
        # (n_elements, n_monomials, n_out, n_channels)
        combined = torch.einsum("qmk,zmkc->zqmc", order.couplings, order.weights)
        for q, factors in enumerate(order.indices.tolist()):
            for m in range(n_components_out):
                weight = combined[:, q, m]
                if weight.abs().max() > 0.0:
                    key = (m, tuple(factors))
                    sums[key] = sums[key] + weight if key in sums else weight
    terms = tuple(sorted(sums))
    return terms, torch.stack([sums[term] for term in terms], dim=1)
