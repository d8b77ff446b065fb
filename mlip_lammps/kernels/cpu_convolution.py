"""Writes the C++ of the edge convolutions: constants and unrolled steps for the template in ``cpu/convolution.h``."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mlip_lammps.kernels.cpu_functions import C_TYPES, lanes
from mlip_lammps.kernels.cpu_harmonics import EDGE_LOOP, harmonics_steps
from mlip_lammps.kernels.edge_convolution import ConvolutionPath

_NEGLIGIBLE = 1e-14


@dataclass(frozen=True)
class ConvolutionShape:
    """What the convolution of one layer looks like, weights apart."""

    name: str
    dtype: torch.dtype
    n_channels: int
    n_components_in: int
    n_components_mid: int
    l_max: int
    degree: int
    paths: tuple[ConvolutionPath, ...]

    def source(self) -> str:
        """Return the struct that the template ``Convolution`` takes."""
        pairs = _pairs(self.paths)
        n_lanes = lanes(self.n_channels, self.dtype)
        steps = [
            harmonics_steps(self.l_max),
            _couplings(pairs),
            _accumulate(self.paths, pairs, self.n_channels // n_lanes),
            _accumulate_adjoint(self.paths, pairs, self.n_channels // n_lanes),
        ]
        return f"""struct {self.name} {{
  using T = {C_TYPES[self.dtype]};
  static constexpr int N = {n_lanes}, N_BLOCKS = {self.n_channels // n_lanes}, N_IN = {self.n_components_in};
  static constexpr int N_MID = {self.n_components_mid}, N_PATHS = {len(self.paths)}, DEGREE = {self.degree};
  static constexpr int N_Y = {(self.l_max + 1) ** 2}, N_G = {len(pairs)};
{"".join(steps)}}};
"""

    @property
    def width_in(self) -> int:
        return self.n_components_in * self.n_channels

    @property
    def width_out(self) -> int:
        return self.n_components_mid * self.n_channels

    def table_layout(self, coefficients: Tensor) -> Tensor:
        """Return radial coefficients (n_intervals, n_paths * n_channels, degree + 1) in the order of the kernel."""
        n_intervals, n_lanes = coefficients.shape[0], lanes(self.n_channels, self.dtype)
        blocks = coefficients.view(n_intervals, len(self.paths), self.n_channels // n_lanes, n_lanes, self.degree + 1)
        blocks = blocks.permute(0, 2, 1, 4, 3)
        return torch.cat([blocks, torch.zeros_like(blocks[:1])]).reshape(-1).to(self.dtype).contiguous()


@dataclass(frozen=True)
class _Pair:
    """One pair of components that a path couples, with the sum of harmonics between them."""

    path: int
    m_in: int
    component_in: int
    component_out: int
    terms: tuple[tuple[int, float], ...]
    """(harmonic, coefficient)."""


def _pairs(paths: Sequence[ConvolutionPath]) -> list[_Pair]:
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
                    pairs.append(_Pair(number, m_in, path.in_start + m_in, out, terms))
    return pairs


def _couplings(pairs: Sequence[_Pair]) -> str:
    lines = []
    for k, pair in enumerate(pairs):
        total = " + ".join(f"{c!r} * y[{harmonic}][e]" for harmonic, c in pair.terms)
        lines.append(f"      g[{k}][e] = static_cast<T>({total});")
    body = "\n".join(lines)
    head = "  static void couplings(const double y[N_Y][CHUNK], T g[N_G][CHUNK], int n)\n"
    return f"{head}  {{\n{EDGE_LOOP}{body}\n    }}\n  }}\n"


def _by_source(pairs: Sequence[_Pair], path: int) -> dict[int, list[tuple[int, _Pair]]]:
    """Return the numbered pairs of one path by their component of the features."""
    found: dict[int, list[tuple[int, _Pair]]] = {}
    for k, pair in enumerate(pairs):
        if pair.path == path:
            found.setdefault(pair.component_in, []).append((k, pair))
    return found


def _accumulate(paths: Sequence[ConvolutionPath], pairs: Sequence[_Pair], n_blocks: int) -> str:
    lines = []
    for p in range(len(paths)):
        for component, members in _by_source(pairs, p).items():
            lines.append(f"    {{ const V w = r[{p}] * h[{component * n_blocks}];")
            lines += [f"      a[{pair.component_out}] += g[{k}][e] * w;" for k, pair in members]
            lines.append("    }")
    body = "\n".join(lines)
    return (
        "  template <typename V>\n"
        "  static inline void accumulate(const V *h, const V *r, const T g[N_G][CHUNK], int e, V *a)\n"
        f"  {{\n{body}\n  }}\n"
    )


def _accumulate_adjoint(paths: Sequence[ConvolutionPath], pairs: Sequence[_Pair], n_blocks: int) -> str:
    lines = []
    for p in range(len(paths)):
        lines.append("    { V slope = {};")
        for component, members in _by_source(pairs, p).items():
            lines.append(f"      {{ const V x = h[{component * n_blocks}], w = r[{p}] * x; V s = {{}}, q;")
            for k, pair in members:
                message = f"a[{pair.component_out * n_blocks}]"
                lines.append(f"        s += g[{k}][e] * {message};")
                lines.append(f"        q = w * {message};")
                lines += [f"        gy[{harmonic}] += static_cast<T>({c!r}) * q;" for harmonic, c in pair.terms]
            lines.append(f"        gh[{component}] += r[{p}] * s; slope += x * s; }}")
        lines.append(f"      gr += slope * dr[{p}]; }}")
    body = "\n".join(lines)
    return (
        "  template <typename V>\n"
        "  static inline void accumulate_adjoint(const V *h, const V *a, const V *r, const V *dr,\n"
        "                                        const T g[N_G][CHUNK], int e, V *gh, V *gy, V &gr)\n"
        f"  {{\n{body}\n  }}\n"
    )
