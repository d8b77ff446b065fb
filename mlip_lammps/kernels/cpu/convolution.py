"""Writes the C++ of the edge convolutions: constants and unrolled steps for the template in ``cpu/convolution.h``."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu.functions import C_TYPES
from mlip_lammps.kernels.cpu.harmonics import EDGE_LOOP, harmonics_steps
from mlip_lammps.kernels.cpu.product import in_panels
from mlip_lammps.kernels.cpu.radials import FromNetwork, FromTable
from mlip_lammps.kernels.cpu.simd import lanes, n_registers
from mlip_lammps.kernels.lowered import ConvolutionPath

_NEGLIGIBLE = 1e-14
_REGISTERS_OF_AN_EDGE = 4
"""Besides sums: a radial function times a feature, a harmonic, and what the compiler takes."""


@dataclass(frozen=True)
class ConvolutionShape:
    """What the convolution of one layer looks like, weights apart."""

    name: str
    dtype: torch.dtype
    n_channels: int
    n_components_in: int
    n_components_mid: int
    l_max: int
    radials: FromTable | FromNetwork
    paths: tuple[ConvolutionPath, ...]

    def source(self) -> str:
        """Return the struct that the template ``Convolution`` takes."""
        pairs = coupled_pairs(self.paths)
        n_lanes = lanes(self.n_channels, self.dtype)
        n_blocks = self.n_channels // n_lanes
        steps = [
            harmonics_steps(self.l_max),
            _couplings(pairs),
            _passes(self.paths, pairs, n_blocks),
            _accumulate_adjoint(self.paths, pairs, n_blocks),
        ]
        return f"""struct {self.name} {{
  using T = {C_TYPES[self.dtype]};
  static constexpr int N = {n_lanes}, N_BLOCKS = {n_blocks}, GROUP = {self._group};
  static constexpr int N_IN = {self.n_components_in}, N_MID = {self.n_components_mid};
  static constexpr int N_PATHS = {len(self.paths)};
  static constexpr int N_Y = {(self.l_max + 1) ** 2}, N_G = {len(pairs)};
{self.radials.members("")}{"".join(steps)}}};
"""

    @property
    def width_in(self) -> int:
        return self.n_components_in * self.n_channels

    @property
    def width_out(self) -> int:
        return self.n_components_mid * self.n_channels

    def table_layout(self, coefficients: Tensor) -> Tensor:
        """Return tables in the order of the kernel, shape (n_tables, n_values).

        ``coefficients`` have the shape (n_tables, n_intervals, n_paths * n_channels, degree + 1).
        """
        n_lanes = lanes(self.n_channels, self.dtype)
        shape = len(self.paths), self.n_channels // n_lanes, n_lanes, coefficients.shape[3]
        blocks = coefficients.reshape(*coefficients.shape[:2], *shape).permute(0, 1, 3, 2, 5, 4)
        return self.radials.with_zeros(blocks.to(self.dtype)).flatten(1).contiguous()

    def last_matrix_layout(self, matrix: Tensor) -> Tensor:
        """Return the network's last matrix (n_hidden, n_paths * n_channels): for each group of blocks one in panels."""
        n_lanes = lanes(self.n_channels, self.dtype)
        groups = matrix.view(len(matrix), len(self.paths), -1, self._group, n_lanes).permute(2, 0, 3, 1, 4)
        panels = [in_panels(group.reshape(len(matrix), -1), n_lanes) for group in groups]
        return torch.cat(panels).to(self.dtype).contiguous()

    @property
    def _group(self) -> int:
        """Vectors of channels that are worked on together."""
        return math.gcd(4, self.n_channels // lanes(self.n_channels, self.dtype))


@dataclass(frozen=True)
class CoupledPair:
    """One pair of components that a path couples, with the sum of harmonics between them."""

    path: int
    m_in: int
    component_in: int
    component_out: int
    terms: tuple[tuple[int, float], ...]
    """(harmonic, coefficient)."""


def coupled_pairs(paths: Sequence[ConvolutionPath]) -> list[CoupledPair]:
    """Return every pair of components that a path couples, path after path."""
    pairs = []
    for number, path in enumerate(paths):
        dim_in, dim_edge, dim_out = path.coupling.shape
        for m_in in range(dim_in):
            for m_out in range(dim_out):
                terms = tuple(
                    (path.l_edge**2 + m, float(path.coupling[m_in, m, m_out]))
                    for m in range(dim_edge)
                    if abs(path.coupling[m_in, m, m_out]) > _NEGLIGIBLE
                )
                if terms:
                    out = path.out_start + m_out * path.out_stride
                    pairs.append(CoupledPair(number, m_in, path.in_start + m_in, out, terms))
    return pairs


def _couplings(pairs: Sequence[CoupledPair]) -> str:
    lines = []
    for k, pair in enumerate(pairs):
        total = " + ".join(f"T({c!r}) * y[{harmonic}][e]" for harmonic, c in pair.terms)
        lines.append(f"      g[{k}][e] = {total};")
    body = "\n".join(lines)
    head = "  static void couplings(const T y[N_Y][CHUNK], T g[N_G][CHUNK], int n)\n"
    return f"{head}  {{\n{EDGE_LOOP}{body}\n    }}\n  }}\n"


def by_source(pairs: Sequence[CoupledPair], path: int) -> dict[int, list[tuple[int, CoupledPair]]]:
    """Return the numbered pairs of one path by their component of the features."""
    found: dict[int, list[tuple[int, CoupledPair]]] = {}
    for k, pair in enumerate(pairs):
        if pair.path == path:
            found.setdefault(pair.component_in, []).append((k, pair))
    return found


def _passes(paths: Sequence[ConvolutionPath], pairs: Sequence[CoupledPair], n_blocks: int) -> str:
    """Write a struct for each group of message components whose sums fit the registers, paths kept together."""
    most = n_registers() - _REGISTERS_OF_AN_EDGE
    groups: list[list[int]] = [[]]
    reached = 0
    for p in range(len(paths)):
        size = len({pair.component_out for pair in pairs if pair.path == p})
        if groups[-1] and reached + size > most:
            groups.append([])
            reached = 0
        groups[-1].append(p)
        reached += size
    structs = "".join(_pass(number, group, pairs, n_blocks) for number, group in enumerate(groups))
    calls = " ".join(f"step(Pass{number}{{}});" for number in range(len(groups)))
    return f"{structs}  template <typename Step> static inline void for_each_pass(Step &&step) {{ {calls} }}\n"


def _pass(number: int, group: Sequence[int], pairs: Sequence[CoupledPair], n_blocks: int) -> str:
    components = list(dict.fromkeys(pair.component_out for pair in pairs if pair.path in group))
    place = {component: k for k, component in enumerate(components)}
    lines = []
    for p in group:
        for component, members in by_source(pairs, p).items():
            lines.append(f"      {{ const V w = r[{p}] * h[{component * n_blocks}];")
            lines += [f"        a[{place[pair.component_out]}] += g[{k}] * w;" for k, pair in members]
            lines.append("      }")
    stores = "".join(f" out[{component * n_blocks}] = a[{k}];" for component, k in place.items())
    body = "\n".join(lines)
    return (
        f"  struct Pass{number} {{\n"
        f"    static constexpr int SIZE = {len(components)};\n"
        f"    static constexpr bool FIRST = {str(number == 0).lower()};\n"
        "    template <typename V>\n"
        "    static inline void accumulate(const V *h, const V *r, const T *g, V *a)\n"
        f"    {{\n{body}\n    }}\n"
        f"    template <typename V> static inline void store(const V *a, V *out) {{{stores} }}\n"
        "  };\n"
    )


def _accumulate_adjoint(paths: Sequence[ConvolutionPath], pairs: Sequence[CoupledPair], n_blocks: int) -> str:
    """Sum over the blocks of a group before the harmonics are told apart: two multiply-adds for a pair and a block."""

    def each(*statements: str) -> str:
        return f'_Pragma("GCC unroll 4") for (int b = 0; b < GROUP; b++) {{ {" ".join(statements)} }}'

    lines = []
    # paths of one order of the harmonics in turn: their gradients stay near
    for p in sorted(range(len(paths)), key=lambda p: paths[p].l_edge):
        radial = f"r[b * N_PATHS + {p}]"
        lines.append("    { V slope[GROUP] = {};")
        for component, members in by_source(pairs, p).items():
            start = each(f"x[b] = h[{component * n_blocks} + b];", f"w[b] = {radial} * x[b];")
            lines.append(f"      {{ V x[GROUP], w[GROUP], s[GROUP] = {{}}; {start}")
            for k, pair in members:
                message = f"a[{pair.component_out} * GROUP + b]"
                sums = each(f"s[b] += g[{k}] * {message};", f"q += w[b] * {message};")
                lines.append(f"        {{ V q = {{}}; {sums}")
                lines += [f"          gy[{harmonic}] += static_cast<T>({c!r}) * q;" for harmonic, c in pair.terms]
                lines.append("        }")
            end = each(f"gh[{component} * GROUP + b] += {radial} * s[b];", "slope[b] += x[b] * s[b];")
            lines.append(f"        {end} }}")
        lines.append(f"      {each(f'gr += slope[b] * dr[b * N_PATHS + {p}];')} }}")
    body = "\n".join(lines)
    return (
        "  template <typename V>\n"
        "  static inline void accumulate_adjoint(const V *h, const V *a, const V *r, const V *dr,\n"
        "                                        const T *g, V *gh, V *gy, V &gr)\n"
        f"  {{\n{body}\n  }}\n"
    )
