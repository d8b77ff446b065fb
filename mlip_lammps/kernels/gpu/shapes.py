"""Generator of the template arguments of the kernels: structs with constants and unrolled steps of one layer."""

from collections.abc import Sequence

import torch

from mlip_lammps.kernels.cpu.contraction import Node, polynomial_trees
from mlip_lammps.kernels.cpu.convolution import CoupledPair, by_source, coupled_pairs
from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.lowered import ConvolutionPath
from mlip_lammps.kernels.torch.spherical_harmonics import raising_terms

WARP = 32


def padded_channels(n_channels: int) -> int:
    """Return the number of channels in the kernels: a multiple of 32, or a power of two of at least 4."""
    if n_channels >= WARP:
        return -(-n_channels // WARP) * WARP
    return max(4, 1 << (n_channels - 1).bit_length())


def convolution_shape(
    name: str,
    dtype: torch.dtype,
    n_channels: int,
    n_components_in: int,
    n_components_mid: int,
    l_max: int,
    degree: int,
    paths: Sequence[ConvolutionPath],
    has_pairs: bool = False,
) -> str:
    """Return the struct for the template ``Convolution``; ``has_pairs``: each pair of elements has a table."""
    pairs = coupled_pairs(paths)
    body = (
        f"  static constexpr int N_CHANNELS = {n_channels}, N_IN = {n_components_in}, N_MID = {n_components_mid};\n"
        f"  static constexpr int N_PATHS = {len(paths)};\n"
        + _accumulate(paths, pairs)
        + _accumulate_adjoint(paths, pairs)
    )
    return _edge_struct(name, dtype, l_max, degree, has_pairs, body)


def moments_shape(
    name: str, dtype: torch.dtype, n_functions: int, n_elements: int, l_max: int, degree: int, has_pairs: bool = False
) -> str:
    """Return the struct for the template ``Moments``; ``has_pairs`` as for ``convolution_shape``."""
    body = f"  static constexpr int N_FUNCTIONS = {n_functions}, N_ELEMENTS = {n_elements};\n"
    return _edge_struct(name, dtype, l_max, degree, has_pairs, body)


def contraction_shape(
    name: str,
    dtype: torch.dtype,
    n_channels: int,
    n_components_in: int,
    n_components_out: int,
    n_elements: int,
    terms: Sequence[tuple[int, tuple[int, ...]]],
    n_atoms: tuple[int, int],
) -> str:
    """Return the struct for the template ``Contraction``.

    Parameters
    ----------
    terms
        See ``ContractionShape``.
    n_atoms
        Atoms per lane, and atoms per lane in the adjoint.
    """
    trees = [
        polynomial_trees({factors: k for k, (output, factors) in enumerate(terms) if output == m})
        for m in range(n_components_out)
    ]
    return f"""struct {name} {{
  using T = {C_TYPES[dtype]};
  using V = Lanes<T>;
  static constexpr int N_CHANNELS = {n_channels}, N_IN = {n_components_in};
  static constexpr int N_OUT = {n_components_out}, N_TERMS = {len(terms)}, N_ELEMENTS = {n_elements};
  static constexpr int ATOMS = {n_atoms[0]}, ADJOINT_ATOMS = {n_atoms[1]};
{_values(trees, n_atoms[0], n_components_in)}{_gradients(trees, n_atoms[1], n_components_in)}}};
"""


def _each(n_atoms: int, *statements: str) -> str:
    """Return the statements for every atom of a lane; @ is replaced by the atom's index."""
    return " ".join(statement.replace("@", str(k)) for k in range(n_atoms) for statement in statements)


def _weight(node: Node) -> str:
    return "const V w = T(0);" if node.row is None else f"const V w = load(weights, channel + {node.row} * N_CHANNELS);"


def _values(trees: Sequence[Sequence[Node]], n_atoms: int, n_components_in: int) -> str:
    """Return nested sums x_a (w_a + sum_b x_b (w_ab + ...)) for each output and each atom of a lane."""

    def lines(node: Node, above: int) -> list[str]:
        c, depth = node.component, above + 1
        if not node.children:
            return [f"{{ {_weight(node)} {_each(n_atoms, f's{above}_@ += w * x{c}_@;')} }}"]
        start = f"{{ {_weight(node)} V {', '.join(f's{depth}_{k} = w' for k in range(n_atoms))};"
        inner = [line for child in node.children.values() for line in lines(child, depth)]
        return [start, *inner, f"{_each(n_atoms, f's{above}_@ += s{depth}_@ * x{c}_@;')} }}"]

    body = [_each(n_atoms, f"const V x{c}_@ = in[{c}][@];") for c in range(n_components_in)]
    for m, of_output in enumerate(trees):
        inner = [line for tree in of_output for line in lines(tree, 0)]
        zeros = f"{{ V {', '.join(f's0_{k} = T(0)' for k in range(n_atoms))};"
        body += [zeros, *inner, f"{_each(n_atoms, f'sum[{m}][@] = s0_@;')} }}"]
    unused = _each(n_atoms, *(f"(void) x{c}_@;" for c in range(n_components_in)))
    return _method(
        "values(const V (*in)[ATOMS], const T *weights, const Lanes<int> &channel, V (*sum)[ATOMS])", [*body, unused]
    )


def _gradients(trees: Sequence[Sequence[Node]], n_atoms: int, n_components_in: int) -> str:
    """Return the adjoint of the nested sums.

    ``t`` is the product of the upstream gradient and the previous factors; ``s`` is the nested sum below them.
    """

    def lines(node: Node, above: int) -> list[str]:
        c, depth = node.component, above + 1
        if not node.children:
            add = (f"s{above}_@ += w * x{c}_@;",) if above else ()
            return [f"{{ {_weight(node)} {_each(n_atoms, *add, f'd{c}_@ += t{above}_@ * w;')} }}"]
        start = (
            f"{{ {_weight(node)} {_each(n_atoms, f'const V t{depth}_@ = t{above}_@ * x{c}_@;', f'V s{depth}_@ = w;')}"
        )
        inner = [line for child in node.children.values() for line in lines(child, depth)]
        add = (f"s{above}_@ += s{depth}_@ * x{c}_@;",) if above else ()
        return [start, *inner, f"{_each(n_atoms, *add, f'd{c}_@ += t{above}_@ * s{depth}_@;')} }}"]

    body = [_each(n_atoms, f"const V x{c}_@ = in[{c}][@];", f"V d{c}_@ = T(0);") for c in range(n_components_in)]
    for m, of_output in enumerate(trees):
        inner = [line for tree in of_output for line in lines(tree, 0)]
        body += [f"{{ {_each(n_atoms, f'const V t0_@ = up[{m}][@];')}", *inner, f"{_each(n_atoms, '(void) t0_@;')} }}"]
    body += [_each(n_atoms, f"down[{c}][@] = d{c}_@;", f"(void) x{c}_@;") for c in range(n_components_in)]
    return _method(
        "gradients(const V (*in)[ADJOINT_ATOMS], const T *weights, const Lanes<int> &channel,\n"
        "                        const V (*up)[ADJOINT_ATOMS], V (*down)[ADJOINT_ATOMS])",
        body,
    )


def _edge_struct(name: str, dtype: torch.dtype, l_max: int, degree: int, has_pairs: bool, body: str) -> str:
    return f"""struct {name} {{
  using T = {C_TYPES[dtype]};
  using V = Lanes<T>;
  static constexpr int N_Y = {(l_max + 1) ** 2}, DEGREE = {degree};
  static constexpr bool HAS_PAIRS = {str(has_pairs).lower()};
{body}{_harmonics(l_max)}{_harmonics_adjoint(l_max)}}};
"""


def _method(signature: str, lines: Sequence[str]) -> str:
    body = "\n".join(f"    {line}" for line in lines)
    return f"  MLIP_DEVICE static void {signature}\n  {{\n{body}\n  }}\n"


def _harmonics(l_max: int) -> str:
    lines = ["y[0] = T(1);"]
    if l_max > 0:
        lines += [f"y[{1 + k}] = T({3**0.5!r}) * u[{k}];" for k in range(3)]
    for order in range(1, l_max):
        for m, terms in enumerate(raising_terms(order)):
            total = " + ".join(f"T({c!r}) * y[{1 + a}] * y[{order**2 + b}]" for a, b, c in terms)
            lines.append(f"y[{(order + 1) ** 2 + m}] = {total};")
    return _method("harmonics(const V *u, V *y)", [*lines, "(void) u;"])


def _harmonics_adjoint(l_max: int) -> str:
    """Return the reverse recursion of ``_harmonics``; it overwrites ``gy``."""
    lines = []
    for order in range(l_max - 1, 0, -1):
        for m, terms in enumerate(raising_terms(order)):
            for a, b, c in terms:
                lines.append(f"{{ const V c = T({c!r}) * gy[{(order + 1) ** 2 + m}];")
                lines.append(f"  gy[{1 + a}] += c * y[{order**2 + b}]; gy[{order**2 + b}] += c * y[{1 + a}]; }}")
    for k in range(3):
        lines.append(f"gu[{k}] = {f'T({3**0.5!r}) * gy[{1 + k}]' if l_max > 0 else 'T(0)'};")
    return _method("harmonics_adjoint(const V *y, V *gy, V *gu)", [*lines, "(void) y;"])


def _coupling(pair: CoupledPair) -> str:
    return " + ".join(f"T({c!r}) * y[{harmonic}]" for harmonic, c in pair.terms)


def _accumulate(paths: Sequence[ConvolutionPath], pairs: Sequence[CoupledPair]) -> str:
    lines = []
    for p in range(len(paths)):
        for component, members in by_source(pairs, p).items():
            lines.append(f"{{ const V w = r[{p}] * h[{component}];")
            lines += [f"  a[{pair.component_out}] += ({_coupling(pair)}) * w;" for _, pair in members]
            lines.append("}")
    return _method("accumulate(const V *h, const V *r, const V *y, V *a)", lines)


def _accumulate_adjoint(paths: Sequence[ConvolutionPath], pairs: Sequence[CoupledPair]) -> str:
    lines = []
    # paths sorted by order of the harmonics, so that accesses to their gradients stay close together
    for p in sorted(range(len(paths)), key=lambda p: paths[p].l_edge):
        lines.append("{ V slope = T(0);")
        for component, members in by_source(pairs, p).items():
            lines.append(f"  {{ const V w = r[{p}] * h[{component}]; V s = T(0);")
            for _, pair in members:
                lines.append(f"    s += ({_coupling(pair)}) * a[{pair.component_out}];")
                lines.append(f"    {{ const V q = w * a[{pair.component_out}];")
                lines += [f"      gy[{harmonic}] += T({c!r}) * q;" for harmonic, c in pair.terms]
                lines.append("    }")
            lines.append(f"    gh[{component}] += r[{p}] * s; slope += h[{component}] * s; }}")
        lines.append(f"  gt += slope * dr[{p}]; }}")
    return _method(
        "accumulate_adjoint(const V *h, const V *a, const V *r, const V *dr, const V *y, V *gh, V *gy, V &gt)", lines
    )
