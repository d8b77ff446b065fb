"""Micro-benchmark of the C++ kernels: time of each and its fraction of the arithmetic limit of one core.

    python -m benchmarks.kernels [--case small] [--dtype float64|float32] [--radial table|exact]

The limit is the rate of a large matrix product on this core in the same run; both are the best of nine measurements, in
processor time. Multiply-adds are counted from the shapes; those of the sums over edges include the radial polynomials
or the radial network. With ``--radial exact`` a line compares the sum of all kernels with that of kernels on tables.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.cases import CASES, Case
from benchmarks.common import markdown_table, model_file, structure_of
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import lower
from mlip_lammps.kernels.cpu.layer_operators import CpuOperators
from mlip_lammps.kernels.cpu.moments import MomentsShape
from mlip_lammps.kernels.cpu.neighbour_sums import NeighbourSum, TableRadials
from mlip_lammps.kernels.lowered import LoweredLayer, LoweredModel
from mlip_lammps.model_file.contract import RADIAL_FORMS
from mlip_lammps.structure.graph import build_graph

_CENTRES = 128
_REPEATS = 9


@dataclass(frozen=True)
class Measurement:
    """Microseconds and multiply-adds per atom of one kernel."""

    kernel: str
    microseconds: float
    multiply_adds: float


def measure_kernels(
    case: Case, source: Path, dtype: str, folder: Path, radial: str = "table"
) -> tuple[list[Measurement], float]:
    """Return the measurements, and the multiply-adds per microsecond of a matrix product."""
    features = getattr(torch, dtype)
    model, atoms = lower(read_model(source)), structure_of(case, source)
    kernels = CpuOperators(model, features, folder, radial)
    graph = build_graph(atoms, model.cutoff)
    n_edges = int(np.searchsorted(graph.edge_centre, _CENTRES))
    rows = {z: k for k, z in enumerate(model.atomic_numbers)}
    species = torch.tensor([rows[int(z)] for z in graph.atomic_numbers])
    edges = (
        torch.tensor(graph.edge_vectors[:n_edges]),
        torch.tensor(graph.edge_centre[:n_edges], dtype=torch.int64),
        torch.tensor(graph.edge_neighbour[:n_edges], dtype=torch.int64),
    )
    found = []
    for t in range(1, len(model.layers) + 1):
        found += _measure_layer(t, model, kernels, edges, species, features)
    return found, _limit(features)


def _measure_layer(t: int, model: LoweredModel, kernels: CpuOperators, edges, species, dtype) -> list[Measurement]:
    layer, centre_species = model.layers[t - 1], species[:_CENTRES]
    vectors, centre, neighbour = edges
    step = kernels.sums[t - 1]
    n_harmonics = (model.l_max + 1) ** 2
    neighbours = len(vectors) / _CENTRES
    radial, radial_adjoint = (neighbours * count for count in _radial_multiply_adds(step, layer))
    if isinstance(step.shape, MomentsShape):
        source, inputs = species.index_select(0, neighbour), None
        forward = radial + neighbours * step.shape.n_functions * n_harmonics
        backward = radial_adjoint + neighbours * step.shape.n_functions * (2 * n_harmonics + 1)
    else:
        source = species.index_select(0, neighbour) if t == 1 else neighbour
        inputs = torch.randn(len(species), step.shape.width_in).to(dtype).requires_grad_(t > 1)
        pairs = sum(int((path.coupling.abs().sum(1) > 0).sum()) for path in layer.paths)
        forward = radial + neighbours * layer.n_channels * pairs
        backward = radial_adjoint + 3 * neighbours * layer.n_channels * pairs
    variables = [vectors.clone().requires_grad_(True)] + ([inputs] if inputs is not None and t > 1 else [])
    found = _pair(
        f"sum over neighbours {t}",
        lambda: kernels.received(t, inputs, variables[0], centre, source, centre_species),
        variables,
        (forward, backward),
    )
    shape, _ = kernels.contractions[t - 1]
    messages = torch.randn(_CENTRES, shape.width_in).to(dtype).requires_grad_(True)
    terms = len(shape.terms) * layer.n_channels
    found += _pair(
        f"contraction {t}", lambda: kernels.contract(t, messages, centre_species), [messages], (terms, 2 * terms)
    )
    for kind, number in kernels.maps:
        if number != t:
            continue
        entry = kernels.maps[kind, t].shape
        x = torch.randn(_CENTRES, entry.width_in).to(dtype).requires_grad_(True)
        count = sum(dim * rows * columns for _, _, dim, rows, columns in entry.blocks)
        found += _pair(
            f"linear {kind} {t}", lambda kind=kind, x=x: kernels.linear(kind, t, x, centre_species), [x], (count, count)
        )
    return found


def _radial_multiply_adds(step: NeighbourSum, layer: LoweredLayer) -> tuple[int, int]:
    """Return the multiply-adds for the radial values of an edge, and those of the adjoint.

    Values with slopes take twice as many as values. The hidden layers run once, with slopes, for both.
    """
    if isinstance(step.radials, TableRadials):
        count = step.radials.table.coefficients.shape[1] * step.radials.table.degree
        return count, 2 * count
    *hidden, last = (matrix.numel() for matrix in layer.radial.matrices)
    last = 0 if step.radials.last is None else last
    return 2 * sum(hidden) + last, 2 * last


def _pair(name: str, call: Callable[[], torch.Tensor], variables, counts: tuple[float, float]) -> list[Measurement]:
    """Time a kernel and its adjoint."""
    result = call()
    upstream = torch.randn_like(result)
    with torch.no_grad():
        forward = _microseconds(call)
    backward = _microseconds(lambda: torch.autograd.grad(result, variables, upstream, retain_graph=True))
    return [Measurement(name, forward, counts[0]), Measurement(f"{name}, adjoint", backward, counts[1])]


def _microseconds(call: Callable[[], object]) -> float:
    call()
    times = []
    for _ in range(_REPEATS):
        before = time.process_time()
        call()
        times.append(time.process_time() - before)
    return 1e6 * min(times) / _CENTRES


def _limit(dtype: torch.dtype) -> float:
    size = 1024
    one, two = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    return size**3 / (_CENTRES * _microseconds(lambda: one @ two))


def kernel_table(found: list[Measurement], limit: float) -> str:
    """Return the table in Markdown."""
    total = sum(row.microseconds for row in found)
    body = [
        (
            row.kernel,
            f"{row.microseconds:.2f}",
            f"{100 * row.microseconds / total:.0f} %",
            f"{row.multiply_adds:,.0f}",
            f"{100 * row.multiply_adds / row.microseconds / limit:.0f} %",
        )
        for row in found
    ]
    counted = sum(row.multiply_adds for row in found)
    body.append(("all", f"{total:.1f}", "", f"{counted:,.0f}", f"{100 * counted / total / limit:.0f} %"))
    table = markdown_table(("kernel", "us an atom", "share", "multiply-adds", "of the limit"), body)
    return f"{table}\n\nThe limit: {2e-3 * limit:.0f} GFLOP/s in a product of matrices."


def draw_kernels(axes, found: list[Measurement], title: str) -> None:
    """Plot the share of each kernel."""
    axes.barh([row.kernel for row in found], [row.microseconds for row in found], color="C0")
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=6)
    axes.set(xlabel="microseconds per atom", title=title)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[case.name for case in CASES], default="small")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument("--radial", choices=RADIAL_FORMS, default="table")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (case,) = [case for case in CASES if case.name == arguments.case]
    options = case, model_file(case, arguments.out), arguments.dtype, arguments.out
    found, limit = measure_kernels(*options, arguments.radial)
    print(f"{case.title}, {arguments.dtype}\n\n{kernel_table(found, limit)}")
    if arguments.radial == "exact":
        on_tables, _ = measure_kernels(*options)
        one, two = (sum(row.microseconds for row in rows) for rows in (found, on_tables))
        print(f"\nExact radial functions take {one / two:.2f} times as long as tables ({two:.1f} us an atom).")


if __name__ == "__main__":
    main()
