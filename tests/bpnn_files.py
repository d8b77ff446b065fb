"""A potential of n2p2 with random weights, and its energy from plain loops over atoms, written from the formulae."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list
from ase.units import Bohr, Hartree

HEADER = """
length_unit bohr      # not read by n2p2
energy_unit hartree
number_of_elements 2
elements O H          ! in any order
cutoff_type {cutoff_type}
{scaling}
scale_min_short 0.1
scale_max_short 0.9
global_hidden_layers_short 2
global_nodes_short 5 4
global_activation_short t p l
element_activation_short O s g l
atom_energy H -0.45
mean_energy -0.7
conv_energy 3.0
conv_length 1.7
"""
LINES = [
    "H 2 H 0.3 0.0 7.0",
    "H 2 O 0.1 1.5 7.0",
    "O 2 H 0.3 0.0 6.0",
    "O 2 O 0.02 2.0 7.0",
    "H 3 O H 0.05 1.0 1.0 6.5",
    "H 3 O H 0.05 -1.0 4.0 6.5",
    "O 3 H H 0.02 1.0 2.5 6.0 0.4",
    "O 9 O H 0.03 -1.0 2.0 6.5",
    "H 9 H H 0.03 1.0 1.0 6.5",
    "H 12 0.05 1.0 6.0",
    "O 13 0.04 0.5 1.0 2.0 5.0",
    "O 20 H 0.5 6.0 p2a",
    "H 20 O -5.0 5.0 e",
    "H 21 O H 0.0 6.0 60.0 180.0 p2",
    "O 22 H H 0.0 6.0 -90.0 90.0 p3",
    "O 23 0.0 6.0 p4",
    "H 25 0.0 5.0 30.0 150.0 p1a",
]
SCALINGS = {
    "range": "scale_symmetry_functions",
    "center": "center_symmetry_functions",
    "both": "scale_symmetry_functions\ncenter_symmetry_functions",
    "sigma": "scale_symmetry_functions_sigma",
    "none": "",
}
SORTED = {
    "H": [LINES[k] for k in (1, 0, 4, 5, 8, 9, 12, 13, 16)],
    "O": [LINES[k] for k in (2, 3, 6, 7, 10, 11, 14, 15)],
}
"""By hand: type; then cutoff, eta, shift, zeta, lambda, elements, or for compact ones form, elements, cutoff, left."""
SHAPE = {"H": ("tanh", "softplus", "linear"), "O": ("logistic", "gaussian", "linear")}
NUMBERS = {"H": 1, "O": 8}


def write_potential(folder: Path, scaling: str = "both", cutoff_type: str = "6 0.2", seed: int = 3) -> Path:
    """Write a potential with random weights; return its folder."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    lines = [f"symfunction_short {line}" for line in rng.permutation(LINES)]
    header = HEADER.format(cutoff_type=cutoff_type, scaling=SCALINGS[scaling])
    (folder / "input.nn").write_text(header + "\n".join(lines) + "\n")
    rows = ["# min max mean sigma"]
    for e, symbol in enumerate(SORTED, start=1):
        for k in range(1, len(SORTED[symbol]) + 1):
            low, mean, high, sigma = *np.sort(rng.uniform(0.0, 3.0, size=3)), rng.uniform(0.5, 1.5)
            rows.append(f"{e} {k} {low:.15e} {high + 1.0:.15e} {mean:.15e} {sigma:.15e}")
        widths, weights = (len(SORTED[symbol]), 5, 4, 1), []
        for n_in, n_out in pairwise(widths):
            weights += list(rng.normal(scale=n_in**-0.5, size=n_in * n_out)) + list(rng.normal(size=n_out))
        text = "".join(f"{value:.15e} a {k}\n" for k, value in enumerate(weights))
        (folder / f"weights.{NUMBERS[symbol]:03d}.data").write_text("# weights\n" + text)
    (folder / "scaling.data").write_text("\n".join(rows) + "\n-1.0 2.0\n")
    return folder


def energies_from_loops(folder: Path, atoms: Atoms, scaling: str = "both", cutoff_type: str = "6 0.2") -> np.ndarray:
    """Return atomic energies in eV, shape (n_atoms,)."""
    i, j, vectors = neighbor_list("ijD", atoms, 7.0 * Bohr)
    rows = [row.split() for row in (folder / "scaling.data").read_text().splitlines()[1:]]
    energies = np.zeros(len(atoms))
    for n, symbol in enumerate(atoms.symbols):
        near = [(atoms.symbols[j[e]], vectors[e] / Bohr) for e in np.flatnonzero(i == n)]
        inputs = []
        for k, line in enumerate(SORTED[symbol], start=1):
            row = next(row for row in rows if row[:2] == [str("HO".index(symbol) + 1), str(k)])
            inputs.append(scaled(symmetry_function(line.split(), near, cutoff_type), scaling, *map(float, row[2:])))
        network = (folder / f"weights.{NUMBERS[symbol]:03d}.data").read_text().splitlines()[1:]
        value = network_value(inputs, [float(row.split()[0]) for row in network], SHAPE[symbol])
        energies[n] = (value / 3.0 - 0.7 - (0.45 if symbol == "H" else 0.0)) * Hartree
    return energies


def symmetry_function(words: list[str], near: list, cutoff_type: str) -> float:
    kind, rest = int(words[1]), words[2:]
    n_named = {2: 1, 20: 1, 12: 0, 13: 0, 23: 0, 25: 0}.get(kind, 2)
    named, rest = sorted(rest[:n_named]), rest[n_named:]
    total = 0.0
    for a, (one, x) in enumerate(near):
        if kind in (2, 12, 20, 23):
            if n_named and [one] != named:
                continue
            value = radial(kind, rest, np.linalg.norm(x), cutoff_type)
            total += value * (1 if n_named else NUMBERS[one])
            continue
        for other, y in near[:a]:
            if n_named and sorted((one, other)) != named:
                continue
            distances = [np.linalg.norm(x), np.linalg.norm(y)]
            cosine = x @ y / distances[0] / distances[1]
            if kind in (3, 13, 21):
                distances.append(np.linalg.norm(x - y))
            value = angle(kind, rest, cosine) * math.prod(radial(kind, rest, d, cutoff_type) for d in distances)
            total += value * (1 if n_named else NUMBERS[one] * NUMBERS[other])
    return total


def radial(kind: int, rest: list[str], r: float, cutoff_type: str) -> float:
    if kind >= 20:
        low, high = float(rest[0]), float(rest[1])
        x = abs(r - (low + high) / 2) / ((high - low) / 2)
        form = rest[-1]
        return 0.0 if x >= 1 else falling(form[:2], (2 - x) * x if form.endswith("a") else x)
    if kind in (2, 12):
        eta, shift, cutoff = map(float, rest)
    elif kind == 13:
        eta, shift, _, _, cutoff = map(float, rest)
    else:
        eta, cutoff, shift = float(rest[0]), float(rest[3]), float(rest[4]) if len(rest) > 4 else 0.0
    if r >= cutoff:
        return 0.0
    number, alpha = int(cutoff_type.split()[0]), float([*cutoff_type.split(), "0"][1])
    if number in (2, 3):
        value = math.tanh(1 - r / cutoff) ** 3 / (math.tanh(1) ** 3 if number == 3 else 1)
    else:
        x = max(0.0, (r - alpha * cutoff) / (cutoff - alpha * cutoff))
        value = falling({1: "c", 4: "e", 5: "p1", 6: "p2", 7: "p3", 8: "p4"}[number], x)
    return math.exp(-eta * (r - shift) ** 2) * value


def angle(kind: int, rest: list[str], cosine: float) -> float:
    if kind >= 20:
        low, high = math.radians(float(rest[2])), math.radians(float(rest[3]))
        x = abs(math.acos(cosine) - (low + high) / 2) / ((high - low) / 2)
        return 0.0 if x >= 1 else falling(rest[-1][:2], x)
    sign, zeta = (float(rest[2]), float(rest[3])) if kind == 13 else (float(rest[1]), float(rest[2]))
    return 2 ** (1 - zeta) * (1 + sign * cosine) ** zeta


def falling(form: str, x: float) -> float:
    return {
        "c": lambda: 0.5 * (1 + math.cos(math.pi * x)),
        "e": lambda: math.exp(1 - 1 / (1 - x**2)),
        "p1": lambda: 1 - 3 * x**2 + 2 * x**3,
        "p2": lambda: 1 - 10 * x**3 + 15 * x**4 - 6 * x**5,
        "p3": lambda: 1 - 35 * x**4 + 84 * x**5 - 70 * x**6 + 20 * x**7,
        "p4": lambda: 1 - 126 * x**5 + 420 * x**6 - 540 * x**7 + 315 * x**8 - 70 * x**9,
    }[form]()


def scaled(value: float, scaling: str, low: float, high: float, mean: float, sigma: float) -> float:
    return {
        "range": 0.1 + 0.8 * (value - low) / (high - low),
        "center": value - mean,
        "both": 0.1 + 0.8 * (value - mean) / (high - low),
        "sigma": 0.1 + 0.8 * (value - mean) / sigma,
        "none": value,
    }[scaling]


def network_value(values: list[float], weights: list[float], activations: tuple[str, ...]) -> float:
    functions = {
        "tanh": math.tanh,
        "softplus": lambda x: math.log(1 + math.exp(x)),
        "logistic": lambda x: 1 / (1 + math.exp(-x)),
        "gaussian": lambda x: math.exp(-x * x / 2),
        "linear": lambda x: x,
    }
    stream = iter(weights)
    for n_out, name in zip((5, 4, 1), activations, strict=True):
        sums = [0.0] * n_out
        for value in values:
            for k in range(n_out):
                sums[k] += value * next(stream)
        values = [functions[name](one + next(stream)) for one in sums]
    return values[0]
