"""Measures every case beside mace-torch, writes a table and a picture to ``out/bench``.

    make bench
    python -m benchmarks --cases shipped small --seconds 10

Microseconds per atom and evaluation of energy, forces and stress through ASE calculators, one thread, medians; the two
run in turn, so that the ratio holds when the machine's speed drifts.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import ase.io
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES, Case
from benchmarks.structures import ROOT, structure
from mlip_lammps.checkpoint import read_model
from mlip_lammps.export import compiled_model
from mlip_lammps.models import resolve_model

PEER_PYTHON = Path(os.environ.get("MLIP_LAMMPS_MACE_PYTHON", ROOT / ".venv-mace/bin/python"))
# Fresh large allocations are dear; mace-torch runs up to 2.6 times faster when glibc keeps its memory.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "68719476736",
    "MALLOC_TOP_PAD_": "268435456",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Row:
    """One case: microseconds per atom, medians over the rounds."""

    case: str
    n_atoms: int
    float64: float
    mixed: float
    mace_torch: float | None
    peak_mb: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], help="default: all")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement (default: 10)")
    parser.add_argument("--rounds", type=int, default=2, help="how often each is measured in turn (default: 2)")
    parser.add_argument("--no-peer", action="store_true", help="leave mace-torch out")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for results (default: out/bench)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    chosen = [case for case in CASES if arguments.cases is None or case.name in arguments.cases]
    rows = [measure_case(case, arguments, console) for case in chosen]
    record = {"machine": machine(), "rows": [asdict(row) for row in rows]}
    (arguments.out / "results.json").write_text(json.dumps(record, indent=1))
    show(rows, console)
    draw(rows, arguments.out / "speed.png")
    console.print(f"written: {arguments.out / 'results.json'}, {arguments.out / 'speed.png'}")


def measure_case(case: Case, arguments: argparse.Namespace, console: Console) -> Row:
    """Make the model and the structure of a case and time both programs in turn."""
    console.print(f"[bold]{case.title}[/bold]")
    atoms = structure(case.structure, case.repeats)
    structure_file = arguments.out / f"{case.name}.extxyz"
    ase.io.write(structure_file, atoms)
    source = model_file(case, arguments.out)
    compiled = {dtype: compiled_model(source, dtype=dtype, progress=console.print) for dtype in ("float64", "mixed")}
    times: dict[str, list[float]] = {"float64": [], "mixed": [], "mace_torch": []}
    peak = 0.0
    for _ in range(arguments.rounds):
        for dtype, path in compiled.items():
            command = [sys.executable, "-m", "benchmarks.ours", str(path), str(structure_file)]
            result = run([*command, str(arguments.seconds)], {"OMP_NUM_THREADS": "1"})
            times[dtype] += result["seconds"]
            peak = max(peak, result["peak_mb"])
        if not arguments.no_peer and source.suffix == ".model":
            command = [str(PEER_PYTHON), str(ROOT / "benchmarks/peer.py"), "time", str(source), str(structure_file)]
            times["mace_torch"] += run([*command, str(arguments.seconds)], KEEP_MEMORY)["seconds"]
    per_atom = {
        name: statistics.median(values) / len(atoms) * 1e6 if values else None for name, values in times.items()
    }
    return Row(case=case.title, n_atoms=len(atoms), peak_mb=peak, **per_atom)


def model_file(case: Case, folder: Path) -> Path:
    """Return the shipped model, or one that mace-torch has made with random weights."""
    if isinstance(case.model, str):
        return resolve_model(case.model)
    options, path = folder / f"{case.name}.json", folder / f"{case.name}.model"
    if not path.is_file() or json.loads(options.read_text()) != case.model:
        options.write_text(json.dumps(case.model))
        command = [str(PEER_PYTHON), str(ROOT / "benchmarks/peer.py"), "make", str(options), str(path)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    read_model(path)
    return path


def run(command: list[str], environment: dict[str, str]) -> dict:
    """Run a measuring process and return what it reports."""
    done = subprocess.run(
        command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


def machine() -> dict[str, object]:
    """Return what the numbers depend on."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def show(rows: list[Row], console: Console) -> None:
    """Print the table."""
    table = Table(title="microseconds per atom, one core")
    for heading in ("case", "float64", "mixed", "mace-torch float64", "ratio", "peak memory"):
        table.add_column(heading, justify="left" if heading == "case" else "right")
    for row in rows:
        peer = f"{row.mace_torch:.0f}" if row.mace_torch else "-"
        ratio = f"{row.mace_torch / row.float64:.0f} / {row.mace_torch / row.mixed:.0f}" if row.mace_torch else "-"
        table.add_row(row.case, f"{row.float64:.0f}", f"{row.mixed:.0f}", peer, ratio, f"{row.peak_mb:.0f} MB")
    console.print(table)


def draw(rows: list[Row], path: Path) -> None:
    """Draw one group of bars a case, on a logarithmic axis."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.9 * len(rows)), layout="constrained")
    series = (("mace_torch", "mace-torch, float64", "0.7"), ("float64", "float64", "C0"), ("mixed", "mixed", "C1"))
    for k, (name, label, colour) in enumerate(series):
        values = [getattr(row, name) or float("nan") for row in rows]
        bars = axes.barh([i + 0.27 * (k - 1) for i in range(len(rows))], values, 0.25, label=label, color=colour)
        axes.bar_label(bars, [f" {value:.0f}" if value == value else "" for value in values])
    axes.set_yticks(range(len(rows)), [row.case for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("microseconds per atom and evaluation, one core")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main()
