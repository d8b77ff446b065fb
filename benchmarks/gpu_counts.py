"""Floating-point operations and GPU memory traffic of each operation of a plan.

    python -m benchmarks.gpu_counts     # checks the counts against the source text of the kernels

Bytes: each array of an operation counts once, read or written; repeated reads do not count. Operations: those of the
unrolled steps in the source, with a multiply-add as two operations. Index arithmetic, reductions over lanes and the
geometry of an edge, which 32 lanes share, are not counted.
"""

import json
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from mlip_lammps.families.mace import lower
from mlip_lammps.kernels.cpu.contraction import Node, polynomial_terms, polynomial_trees
from mlip_lammps.kernels.cpu.convolution import by_source, coupled_pairs
from mlip_lammps.kernels.lowered import ConvolutionPath, LoweredLayer, LoweredModel
from mlip_lammps.kernels.torch.spherical_harmonics import raising_terms

WARP = 32
PER_LIST = ("bins", "near", "list")
"""Phases that run only when LAMMPS rebuilds its neighbour lists."""
_GEOMETRY = ("edges", "sums")
"""Phases that run in float64 for every precision."""


_BOOKKEEPING = ("rows_by_element", "scan", "forget", "totals", "count_", "fill_", "sort_", "bin_")


@dataclass(frozen=True)
class Work:
    """One kind of operation in a phase, summed over its calls in a step.

    Attributes
    ----------
    number
        Floating-point type of the operations, "float32" or "float64".
    flops
        Number of floating-point operations; None if not counted.
    """

    name: str
    calls: int
    n_bytes: float
    flops: float | None
    number: str


@dataclass
class Counter:
    """Counts for a plan and the sizes of a graph.

    Parameters
    ----------
    sizes
        Numbers of local atoms, nodes, atoms, slots, edges, cells and elements.
    """

    plan: dict
    weight_bytes: dict[str, int]
    model: LoweredModel
    sizes: Mapping[str, float]
    _trees: dict[int, list] = field(default_factory=dict)

    def works(self) -> list[Work]:
        """Return the counts of every kind of operation in one step, in plan order."""
        found: dict[str, Work] = {}
        for phase, ops in self.plan["phases"].items():
            for op in ops:
                name = f"{phase} {op_name(op)}"
                before = found.get(name, Work(name, 0, 0.0, 0.0, self._number(phase, op)))
                flops = self.flops(op)
                total = None if flops is None or before.flops is None else before.flops + flops
                found[name] = Work(name, before.calls + 1, before.n_bytes + self.n_bytes(op), total, before.number)
        return list(found.values())

    def _number(self, phase: str, op: dict) -> str:
        is_double = self.plan["value_bytes"] == 8 or phase in _GEOMETRY or op.get("kernel") == "repel"
        return "float64" if is_double else "float32"

    def rows(self, text: str) -> float:
        """Return a size such as ``nodes+1``."""
        name, _, more = text.partition("+")
        return (1 if name == "one" else self.sizes.get(name, 0)) + int(more or 0)

    def width(self, buffer: str) -> int:
        return self.plan["buffers"][buffer]["width"]

    def buffer_bytes(self, name: str) -> float:
        buffer = self.plan["buffers"][name]
        return self.rows(buffer["rows"]) * buffer["width"] * buffer["bytes"]

    def n_bytes(self, op: dict) -> float:
        """Return the number of bytes that an operation must move."""
        if "clear" in op:
            return self.buffer_bytes(op["clear"])
        if "copy" in op:
            return 2 * min(self.buffer_bytes(op["copy"]), self.buffer_bytes(op["to"]))
        if "gemm" in op:
            g, value = op["gemm"], self.plan["value_bytes"]
            rows, matrices = self.rows(g["rows"]), self.sizes["elements"] if g.get("by_element") else 1
            written = 2 if g.get("beta") else 1
            row_numbers = g.get("batch", 1) * (g["k"] + written * g["n"])
            return value * (rows * row_numbers + matrices * g["n"] * g["k"])
        arguments = {tuple(argument) for argument in op["args"] if argument[0] in ("buffer", "weight")}
        return sum(self.buffer_bytes(name) if kind == "buffer" else self.weight_bytes[name] for kind, name in arguments)

    def flops(self, op: dict) -> float | None:
        """Return the number of floating-point operations, or None for an unknown kernel."""
        if "clear" in op or "copy" in op:
            return 0.0
        if "gemm" in op:
            g = op["gemm"]
            return 2.0 * self.rows(g["rows"]) * g.get("batch", 1) * g["n"] * g["k"]
        name = op["kernel"]
        if match := re.fullmatch(r"(sum|contract)_(\d+)(_adjoint)?", name):
            kind, t, adjoint = match[1], int(match[2]), match[3] is not None
            return (self._sum if kind == "sum" else self._contraction)(op, t, adjoint)
        edges, slots, local = (self.sizes[key] for key in ("edges", "slots", "local"))
        plain: dict[str, Callable[[], float]] = {
            "gather_rows": lambda: edges * self._integer(op, -1),
            "finish_edges": lambda: edges * 30.0,
            "gather_forces": lambda: 6.0 * edges,
            "partial_totals": lambda: 22.0 * edges,
            "count_edges": lambda: 8.0 * slots,
            "fill_edges": lambda: 12.0 * slots,
            "linear_readout": lambda: 2.0 * local * self._integer(op, -1),
            "linear_readout_adjoint": lambda: local * self._integer(op, -1),
        }
        if match := re.fullmatch(r"nonlinear_readout_(\d+)", name):
            return 4.0 * local * self._integer(op, -1) * int(match[1])
        if name in plain:
            return plain[name]()
        return 0.0 if name.startswith(_BOOKKEEPING) else None

    def _integer(self, op: dict, which: int) -> int:
        return [value for kind, value in op["args"] if kind == "int"][which]

    def _sum(self, op: dict, t: int, adjoint: bool) -> float:
        layer, l_max = self.model.layers[t - 1], self.model.l_max
        arguments = op["args"]
        at = next(k for k, one in enumerate(arguments) if list(one) == ["weight", f"table_{t}"])
        n_intervals = next(value for kind, value in arguments[at:] if kind == "int")
        is_moments = ["buffer", "species"] in [list(one) for one in arguments]
        slices = op["grid"][1]
        lanes = WARP if is_moments or layer.n_channels >= WARP else self._channels(layer, t)
        functions = slices * lanes if is_moments else slices * lanes * len(layer.paths)
        powers = round(self.weight_bytes[f"table_{t}"] / (self.plan["value_bytes"] * (n_intervals + 1) * functions))
        flops = moments_flops(powers - 1, l_max) if is_moments else convolution_flops(layer.paths, powers - 1, l_max)
        return self.sizes["edges"] * slices * lanes * flops[adjoint]

    def _channels(self, layer: LoweredLayer, t: int) -> int:
        """Return the number of channels in the kernels."""
        return self.width(f"messages_{t}") // layer.n_components_message

    def _contraction(self, op: dict, t: int, adjoint: bool) -> float:
        layer = self.model.layers[t - 1]
        if t not in self._trees:
            self._trees[t] = contraction_trees(layer)
        per_channel = sum(polynomial_flops(tree)[adjoint] for trees in self._trees[t] for tree in trees)
        return self.sizes["local"] * self._channels(layer, t) * per_channel


def open_counter(file: Path, lowered: LoweredModel, sizes: Mapping[str, float]) -> Counter:
    """Return the counter of a model file for a GPU."""
    with zipfile.ZipFile(file) as archive:
        names = {name.rpartition("/")[2]: name for name in archive.namelist() if "/extra/gpu/" in name}
        plan = json.loads(archive.read(names["plan.json"]))
        end = archive.getinfo(names["weights.bin"]).file_size
    offsets = sorted(plan["weights"].items(), key=lambda entry: entry[1])
    ends = [*(offset for _, offset in offsets[1:]), end]
    weight_bytes = {name: end - offset for (name, offset), end in zip(offsets, ends, strict=True)}
    return Counter(plan, weight_bytes, lowered, {**sizes, "elements": plan["n_elements"]})


def op_name(op: dict) -> str:
    """Return the name of an operation in the engine's profile."""
    if "kernel" in op:
        return op["kernel"]
    if "gemm" in op:
        return f"product with {op['gemm']['w']}"
    return f"clear {op['clear']}" if "clear" in op else f"copy to {op['to']}"


def contraction_trees(layer: LoweredLayer) -> list[list[Node]]:
    """Return the nested sums of each output of a layer's contraction."""
    terms, _ = polynomial_terms(layer.polynomial, layer.n_components_out)
    outputs = range(layer.n_components_out)
    return [polynomial_trees({factors: k for k, (m, factors) in enumerate(terms) if m == output}) for output in outputs]


def convolution_flops(paths: Sequence[ConvolutionPath], degree: int, l_max: int) -> tuple[float, float]:
    """Return the operations per edge and channel, forward and adjoint."""
    pairs = coupled_pairs(paths)
    forward, adjoint = 2.0 * degree * len(paths), (4.0 * degree - 2.0) * len(paths)
    couple, uncouple = couplings_flops(paths, pairs)
    return forward + couple, adjoint + uncouple + harmonics_adjoint_flops(l_max)


def couplings_flops(paths: Sequence[ConvolutionPath], pairs: Sequence) -> tuple[float, float]:
    """Return the operations of ``accumulate`` and ``accumulate_adjoint``."""
    forward = adjoint = 0.0
    for p in range(len(paths)):
        adjoint += 2
        for members in by_source(pairs, p).values():
            forward += 1
            adjoint += 1 + 2 + 2
            for _, pair in members:
                coupling = 2 * len(pair.terms) - 1
                forward += coupling + 2
                adjoint += coupling + 2 + 1 + 2 * len(pair.terms)
    return forward, adjoint


def harmonics_adjoint_flops(l_max: int) -> float:
    n_terms = sum(len(terms) for order in range(1, l_max) for terms in raising_terms(order))
    return 5.0 * n_terms + (3 if l_max > 0 else 0)


def moments_flops(degree: int, l_max: int) -> tuple[float, float]:
    """Return the operations per edge and radial function, forward and adjoint."""
    n_harmonics = (l_max + 1) ** 2
    return 2.0 * degree + 2 * n_harmonics, 4.0 * degree - 2 + 3 * n_harmonics + harmonics_adjoint_flops(l_max) + 1


def polynomial_flops(node: Node, depth: int = 0) -> tuple[float, float]:
    """Return the operations per atom and channel of a nested sum, for its value and its gradient."""
    add = 2 if depth else 0
    if not node.children:
        return 2.0, 2.0 + add
    below = [polynomial_flops(child, depth + 1) for child in node.children.values()]
    return 2.0 + sum(value for value, _ in below), 3.0 + add + sum(gradient for _, gradient in below)


def operations_in(struct: str, method: str) -> int:
    """Count the operators in the body of a generated method, excluding constants and indices."""
    body = struct.split(f"MLIP_DEVICE static void {method}(", 1)[1].split("\n  {\n", 1)[1].split("\n  }\n", 1)[0]
    for pattern in (r"T\([^()]*\)", r"load\([^()]*\)", r"\[[^\]]*\]"):
        body = re.sub(pattern, "k", body)
    return len(re.findall(r"\*|\+=|\+", body))


def check_counts(lowered: LoweredModel) -> list[str]:
    """Return the differences between the counts and the operators in the source generated by ``kernels.gpu.shapes``."""
    from mlip_lammps.kernels.gpu import shapes

    faults = []
    for t, layer in enumerate(lowered.layers, start=1):
        n = shapes.padded_channels(layer.n_channels)
        components = layer.n_components_in, layer.n_components_mid
        struct = shapes.convolution_shape("S", torch.float64, n, *components, lowered.l_max, 3, layer.paths)
        terms, _ = polynomial_terms(layer.polynomial, layer.n_components_out)
        sizes = n, layer.n_components_message, layer.n_components_out, len(lowered.atomic_numbers)
        polynomial = shapes.contraction_shape("S", torch.float64, *sizes, terms, (1, 1))
        trees = [polynomial_flops(tree) for trees in contraction_trees(layer) for tree in trees]
        forward, adjoint = couplings_flops(layer.paths, coupled_pairs(layer.paths))
        expected = {
            "accumulate": forward,
            "accumulate_adjoint": adjoint,
            "harmonics_adjoint": harmonics_adjoint_flops(lowered.l_max),
            "values": sum(value for value, _ in trees),
            "gradients": sum(gradient for _, gradient in trees),
        }
        for method, count in expected.items():
            found = operations_in(polynomial if method in ("values", "gradients") else struct, method)
            if found != count:
                faults.append(f"layer {t}, {method}: {count:.0f} counted, {found} in the source")
    return faults


if __name__ == "__main__":
    from mlip_lammps.testing.random_models import random_model

    faults = check_counts(lower(random_model(hidden_irreps="8x0e+8x1o+8x2e", l_max=3, correlation=3)))
    print("\n".join(faults) or "counts agree with the source")
    raise SystemExit(1 if faults else 0)
