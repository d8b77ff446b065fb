"""Comparison with mace-torch: median time of energy, forces and stress through ASE calculators on one thread.

The two programs alternate, so that the ratio is valid even if the machine's speed drifts.
"""

import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import ase.io

from benchmarks.cases import Case
from benchmarks.common import PEER_PYTHON, markdown_table, model_file, run, structure_of
from benchmarks.structures import ROOT, structure
from mlip_lammps.compilation import compiled_model
from mlip_lammps.families import read_model

# Large allocations are expensive; mace-torch is up to 2.6 times faster if glibc keeps freed memory.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "68719476736",
    "MALLOC_TOP_PAD_": "268435456",
    "OMP_NUM_THREADS": "1",
}
DTYPES = ("float64", "mixed")


@dataclass(frozen=True)
class Row:
    """Median microseconds per atom of one case, over all rounds."""

    case: str
    n_atoms: int
    n_peer_atoms: int
    float64: float
    mixed: float
    mace_torch: float | None
    peak_mb: float


def measure_case(case: Case, rounds: int, seconds: float, has_peer: bool, folder: Path, tell) -> Row:
    """Create the model and the structure of a case, and time both programs alternately."""
    source = model_file(case, folder)
    atoms = structure_of(case, source)
    structure_file, peer_structure = folder / f"{case.name}.extxyz", folder / f"{case.name}-peer.extxyz"
    ase.io.write(structure_file, atoms)
    peer_atoms = structure(case.structure, case.peer_repeats) if case.peer_repeats else atoms
    ase.io.write(peer_structure, peer_atoms)
    compiled = {dtype: compiled_model(source, dtype=dtype, progress=tell) for dtype in DTYPES}
    peer_file = mace_torch_file(source, folder) if has_peer else None
    times: dict[str, list[float]] = {"float64": [], "mixed": [], "mace_torch": []}
    peak = 0.0
    for _ in range(rounds):
        for dtype, path in compiled.items():
            command = [sys.executable, "-m", "benchmarks.ours", str(path), str(structure_file), str(seconds)]
            result = run(command, {"OMP_NUM_THREADS": "1"})
            times[dtype] += result["seconds"]
            peak = max(peak, result["peak_mb"])
        if peer_file is not None:
            command = [str(PEER_PYTHON), str(ROOT / "benchmarks/peer.py"), "time", str(peer_file), str(peer_structure)]
            times["mace_torch"] += run([*command, str(seconds)], KEEP_MEMORY)["seconds"]
    n_atoms, n_peer_atoms = len(atoms), len(peer_atoms)
    per_atom = {
        name: statistics.median(values) * 1e6 / (n_peer_atoms if name == "mace_torch" else n_atoms) if values else None
        for name, values in times.items()
    }
    return Row(case=case.title, n_atoms=n_atoms, n_peer_atoms=n_peer_atoms, peak_mb=peak, **per_atom)


def mace_torch_file(source: Path, folder: Path) -> Path | None:
    """Return a mace-torch file: ``source`` itself, or a model with the shape of a portable file and random weights.

    The time of an evaluation depends only on the shape.
    """
    if source.suffix == ".model":
        return source
    spec = read_model(source).spec
    first = spec.layers[0]
    options = {
        "atomic_numbers": list(spec.atomic_numbers),
        "r_max": spec.cutoff,
        "max_ell": spec.l_max,
        "correlation": first.correlation,
        "hidden_irreps": first.irreps_out,
        "num_interactions": spec.n_layers,
        "avg_num_neighbors": float(first.avg_num_neighbors),
        "radial_MLP": list(first.radial_widths),
    }
    shape = Case(f"peer-{source.parent.name}", "", options, "", 0)
    return model_file(shape, folder)


def speed_table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    headings = ("case", "atoms", "float64", "mixed", "mace-torch, float64", "ratio", "peak memory, MB")
    body = []
    for row in rows:
        peer, ratio = "-", "-"
        if row.mace_torch:
            size = f" ({row.n_peer_atoms:,} atoms)" if row.n_peer_atoms != row.n_atoms else ""
            peer = f"{row.mace_torch:.0f}{size}"
            ratio = f"{row.mace_torch / row.float64:.0f} and {row.mace_torch / row.mixed:.0f}"
        numbers = (f"{row.float64:.0f}", f"{row.mixed:.0f}", peer, ratio, f"{row.peak_mb:.0f}")
        body.append((row.case, f"{row.n_atoms:,}", *numbers))
    return markdown_table(headings, body)


def draw_speed(axes, rows: list[Row]) -> None:
    """Plot one group of bars per case on a logarithmic axis."""
    series = (("mace_torch", "mace-torch, float64", "0.7"), ("float64", "float64", "C0"), ("mixed", "mixed", "C1"))
    for k, (name, label, colour) in enumerate(series):
        values = [getattr(row, name) or float("nan") for row in rows]
        bars = axes.barh([i + 0.27 * (k - 1) for i in range(len(rows))], values, 0.25, label=label, color=colour)
        axes.bar_label(bars, [f" {value:.0f}" if value == value else "" for value in values], fontsize=7)
    axes.set_yticks(range(len(rows)), [row.case.replace(", ", "\n", 1) for row in rows], fontsize=7)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="microseconds per atom and evaluation, one core", title="comparison with mace-torch")
    axes.legend(frameon=False, fontsize=7)
