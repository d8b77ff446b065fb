"""Writes the C++ of spherical harmonics and their adjoint, for many edges at once."""

from mlip_lammps.kernels.torch.spherical_harmonics import raising_terms

EDGE_LOOP = "    for (int e = 0; e < n; e++) {\n"


def harmonics_steps(l_max: int) -> str:
    """Return the steps of ``Geometry``: spherical harmonics of many unit vectors, and their adjoint."""
    return _harmonics(l_max) + _harmonics_adjoint(l_max)


def _harmonics(l_max: int) -> str:
    lines = ["      y[0][e] = T(1);"]
    if l_max > 0:
        lines += [f"      y[{1 + k}][e] = T({3**0.5!r}) * static_cast<T>(u[{k}][e]);" for k in range(3)]
    for order in range(1, l_max):
        for m, terms in enumerate(raising_terms(order)):
            total = " + ".join(f"T({c!r}) * y[{1 + a}][e] * y[{order**2 + b}][e]" for a, b, c in terms)
            lines.append(f"      y[{(order + 1) ** 2 + m}][e] = {total};")
    body = "\n".join(lines)
    return (
        "  static void harmonics(const double u[3][CHUNK], T y[N_Y][CHUNK], int n)\n  {\n"
        f"{EDGE_LOOP}{body}\n    }}\n    (void) u;\n  }}\n"
    )


def _harmonics_adjoint(l_max: int) -> str:
    """The recursion of ``_harmonics`` backwards; ``gy`` is used up."""
    lines = []
    for order in range(l_max - 1, 0, -1):
        for m, terms in enumerate(raising_terms(order)):
            upper = f"gy[{(order + 1) ** 2 + m}][e]"
            for a, b, c in terms:
                lines.append(f"      gy[{1 + a}][e] += T({c!r}) * {upper} * y[{order**2 + b}][e];")
                lines.append(f"      gy[{order**2 + b}][e] += T({c!r}) * {upper} * y[{1 + a}][e];")
    for k in range(3):
        lines.append(f"      gu[{k}][e] = {f'T({3**0.5!r}) * gy[{1 + k}][e]' if l_max > 0 else 'T(0)'};")
    body = "\n".join(lines)
    return (
        "  static void harmonics_adjoint(const T y[N_Y][CHUNK], T gy[N_Y][CHUNK], T gu[3][CHUNK], int n)\n"
        f"  {{\n{EDGE_LOOP}{body}\n    }}\n    (void) y, (void) gy;\n  }}\n"
    )
