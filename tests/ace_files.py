"""Potentials of the PACE library with random coefficients, whose functions are invariant under rotations."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sympy.physics.wigner import wigner_3j

POWERS = {1: [1.0, 1.0], 2: [1.0, 1.0, 1.0, 0.5]}


def potential(
    elements: Sequence[str],
    bases: Sequence[str] = ("ChebExpCos",),
    cutoffs: Sequence[float] = (4.5,),
    inner_cutoff: str = "density",
    embeddings: Sequence[str] = ("FinnisSinclairShiftedScaled",),
    densities: Sequence[int] = (2,),
    orders: Sequence[int] = (2, 2, 1),
    seed: int = 1,
) -> dict[str, Any]:
    """Return the content of a .yace file.

    Parameters
    ----------
    bases, cutoffs
        Of pairs of elements in turn; cutoffs in angstrom.
    embeddings, densities
        Function and number of densities of the elements in turn.
    orders
        Largest l of the functions with 2, 3 and 4 factors.
    """
    rng = np.random.default_rng(seed)
    n_base, n_radial = 4, 2
    bonds: dict[tuple[int, int], dict[str, Any]] = {}
    pairs = list(combinations_with_replacement(range(len(elements)), 2))
    for k, (i, j) in enumerate(pairs):
        bond = {
            "nradmax": n_radial,
            "lmax": max(orders),
            "nradbasemax": n_base,
            "radbasename": bases[k % len(bases)],
            "radparameters": [round(2.0 + rng.uniform(0.0, 2.0), 3)],
            "radcoefficients": rng.normal(scale=0.7, size=(n_radial, max(orders) + 1, n_base)).tolist(),
            "prehc": round(rng.uniform(50.0, 100.0), 2) if inner_cutoff != "zbl" else 1.0,
            "lambdahc": round(rng.uniform(2.0, 3.0), 3),
            "rcut": cutoffs[k % len(cutoffs)],
            "dcut": 1.0,
        }
        if inner_cutoff != "density":
            bond |= {"rcut_in": 1.6, "dcut_in": 0.5, "inner_cutoff_type": inner_cutoff}
        bonds[i, j] = bonds[j, i] = bond
    specs, functions = {}, {}
    for row in range(len(elements)):
        n_densities = densities[row % len(densities)]
        specs[row] = {
            "ndensity": n_densities,
            "FS_parameters": POWERS[n_densities],
            "npoti": embeddings[row % len(embeddings)],
            "rho_core_cutoff": 6.0,
            "drho_core_cutoff": 4.0,
        }
        functions[row] = _functions(rng, row, len(elements), n_base, n_radial, n_densities, orders)
    return {
        "elements": list(elements),
        "E0": rng.normal(size=len(elements)).round(3).tolist(),
        "deltaSplineBins": 0.001,
        "embeddings": specs,
        "bonds": bonds,
        "functions": functions,
    }


def _functions(rng, row: int, n_elements: int, n_base: int, n_radial: int, n_densities: int, orders) -> list[dict]:
    found = []

    def add(mus, ns, ls, terms) -> None:
        factors = rng.normal(scale=0.25 * 0.4 ** (len(mus) - 1), size=n_densities)
        found.append(
            {
                "mu0": row,
                "rank": len(mus),
                "ndensity": n_densities,
                "num_ms_combs": len(terms),
                "mus": list(mus),
                "ns": list(ns),
                "ls": list(ls),
                "ms_combs": [m for ms, _ in terms for m in ms],
                "ctildes": [float(value * factor) for _, value in terms for factor in factors],
            }
        )

    for mu in range(n_elements):
        for n in range(1, n_base + 1):
            add([mu], [n], [0], [((0,), 1.0)])
    for l in range(orders[0] + 1):  # noqa: E741
        for mu, n in ((int(rng.integers(n_elements)), int(rng.integers(1, n_radial + 1))) for _ in range(3)):
            add([mu, row], [n, 1], [l, l], _pair(l))
    for ls in combinations_with_replacement(range(orders[1] + 1), 3):
        if terms := _triple(ls):
            mus, ns = rng.integers(n_elements, size=3), rng.integers(1, n_radial + 1, size=3)
            add(mus.tolist(), ns.tolist(), ls, terms)
    for l in range(1, orders[2] + 1):  # noqa: E741
        mus, ns = rng.integers(n_elements, size=4), rng.integers(1, n_radial + 1, size=4)
        terms = [(a + b, x * y) for a, x in _pair(l) for b, y in _pair(l)]
        add(mus.tolist(), ns.tolist(), [l] * 4, terms)
    return found


def _pair(l: int) -> list[tuple[tuple[int, ...], float]]:  # noqa: E741
    return [((m, -m), (-1.0) ** m) for m in range(-l, l + 1)]


@cache
def _triple(ls: tuple[int, int, int]) -> list[tuple[tuple[int, ...], float]]:
    found = []
    if sum(ls) % 2:
        return found
    for a in range(-ls[0], ls[0] + 1):
        for b in range(-ls[1], ls[1] + 1):
            if abs(a + b) <= ls[2] and (value := float(wigner_3j(*ls, a, b, -a - b))):
                found.append(((a, b, -a - b), value))
    return found


class _Dumper(yaml.SafeDumper):
    """Writes pairs of elements as the library does, [0, 1], and each bond and function in a line."""

    def ignore_aliases(self, data) -> bool:
        return True


_Dumper.add_representer(
    tuple, lambda dumper, pair: dumper.represent_sequence("tag:yaml.org,2002:seq", pair, flow_style=True)
)


def write(content: dict[str, Any], path: Path) -> Path:
    """Write a .yace file; return its path."""
    path.write_text(yaml.dump(content, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=100_000))
    return path
