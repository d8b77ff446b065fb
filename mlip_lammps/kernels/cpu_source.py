"""Writes the C++ of the edge convolutions: constants and unrolled steps for the template in ``cpu/convolution.h``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.kernels.edge_convolution import ConvolutionPath
from mlip_lammps.kernels.spherical_harmonics import raising_terms

HEADERS = Path(__file__).parent / "cpu"
C_TYPES = {torch.float64: "double", torch.float32: "float"}
_VECTOR_BYTES = 64
_NEGLIGIBLE = 1e-14


def lanes(n_channels: int, dtype: torch.dtype) -> int:
    """Return the channels of one vector: the largest power of two that fits 64 bytes and divides ``n_channels``."""
    most = _VECTOR_BYTES // torch.finfo(dtype).bits * 8
    return min(most, n_channels & -n_channels)


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
            _harmonics(self.l_max),
            _harmonics_adjoint(self.l_max),
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

    def table_layout(self, coefficients: Tensor) -> Tensor:
        """Return radial coefficients (n_intervals, n_paths * n_channels, degree + 1) in the order of the kernel."""
        n_intervals, n_lanes = coefficients.shape[0], lanes(self.n_channels, self.dtype)
        blocks = coefficients.view(n_intervals, len(self.paths), self.n_channels // n_lanes, n_lanes, self.degree + 1)
        blocks = blocks.transpose(3, 4)
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


_LOOP = "    for (int e = 0; e < n; e++) {\n"


def _harmonics(l_max: int) -> str:
    lines = ["      y[0][e] = 1.0;"]
    if l_max > 0:
        lines += [f"      y[{1 + k}][e] = {3**0.5!r} * u[{k}][e];" for k in range(3)]
    for order in range(1, l_max):
        for m, terms in enumerate(raising_terms(order)):
            total = " + ".join(f"{c!r} * y[{1 + a}][e] * y[{order**2 + b}][e]" for a, b, c in terms)
            lines.append(f"      y[{(order + 1) ** 2 + m}][e] = {total};")
    body = "\n".join(lines)
    return (
        "  static void harmonics(const double u[3][CHUNK], double y[N_Y][CHUNK], int n)\n  {\n"
        f"{_LOOP}{body}\n    }}\n    (void) u;\n  }}\n"
    )


def _harmonics_adjoint(l_max: int) -> str:
    """The recursion of ``_harmonics`` backwards; ``gy`` is used up."""
    lines = []
    for order in range(l_max - 1, 0, -1):
        for m, terms in enumerate(raising_terms(order)):
            upper = f"gy[{(order + 1) ** 2 + m}][e]"
            for a, b, c in terms:
                lines.append(f"      gy[{1 + a}][e] += {c!r} * {upper} * y[{order**2 + b}][e];")
                lines.append(f"      gy[{order**2 + b}][e] += {c!r} * {upper} * y[{1 + a}][e];")
    for k in range(3):
        lines.append(f"      gu[{k}][e] = {f'{3**0.5!r} * gy[{1 + k}][e]' if l_max > 0 else '0.0'};")
    body = "\n".join(lines)
    return (
        "  static void harmonics_adjoint(const double u[3][CHUNK], const double y[N_Y][CHUNK], double gy[N_Y][CHUNK],\n"
        f"                                double gu[3][CHUNK], int n)\n  {{\n{_LOOP}{body}\n    }}\n"
        "    (void) u, (void) y, (void) gy;\n  }\n"
    )


def _couplings(pairs: Sequence[_Pair]) -> str:
    lines = []
    for k, pair in enumerate(pairs):
        total = " + ".join(f"{c!r} * y[{harmonic}][e]" for harmonic, c in pair.terms)
        lines.append(f"      g[{k}][e] = static_cast<T>({total});")
    body = "\n".join(lines)
    head = "  static void couplings(const double y[N_Y][CHUNK], T g[N_G][CHUNK], int n)\n"
    return f"{head}  {{\n{_LOOP}{body}\n    }}\n  }}\n"


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
