"""Measure speed, scaling and memory; write the tables and one figure to ``out/bench``.

    make bench
    python -m benchmarks --parts speed --cases small --seconds 3

Parts: ``speed`` (comparison with mace-torch through ASE on one core), ``kernels`` (time of each C++ kernel and its
fraction of the arithmetic limit), ``scaling`` (LAMMPS: atoms, ranks, memory per atom, time to the first forces). The
output files are ``bench.md``, ``bench.png`` and ``results.json``.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import torch
from rich.console import Console

from benchmarks.cases import CASES
from benchmarks.common import load_average, machine, model_file
from benchmarks.kernels import draw_kernels, kernel_table, measure_kernels
from benchmarks.scaling import draw_scaling, measure_in_turn, scaling_table
from benchmarks.speed import DTYPES, draw_speed, measure_case, speed_table
from mlip_lammps.compilation import compiled_model

PARTS = ("speed", "kernels", "scaling")
SMALL = CASES[0]
KERNEL_DTYPES = ("float64", "float32")


class Report:
    """Results so far; rewritten after each part, so that an interrupted run keeps its results."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.facts = machine()
        self.load = [load_average()]
        self.texts: dict[str, str] = {}
        self.numbers: dict[str, object] = {}
        self.drawings: list = []

    def add(self, heading: str, table: str, numbers: object, drawing) -> None:
        """Add a part: its table, its JSON content, and a function that plots it."""
        self.load.append(load_average())
        self.texts[heading], self.numbers[heading] = table, numbers
        self.drawings.append(drawing)
        facts = ", ".join(f"{key} {value}" for key, value in self.facts.items())
        parts = [f"## {heading}\n\n{table}" for heading, table in self.texts.items()]
        load = f"load average at the start and after each part: {', '.join(self.load)}"
        text = "\n\n".join(["# Benchmarks", f"{facts}; {load}.", *parts]) + "\n"
        (self.folder / "bench.md").write_text(text)
        record = {"machine": self.facts, "load": self.load, **self.numbers}
        (self.folder / "results.json").write_text(json.dumps(record, indent=1))

    def draw(self) -> None:
        """Plot all parts in one figure."""
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(
            1, len(self.drawings), figsize=(5.2 * len(self.drawings), 4.2), layout="constrained", squeeze=False
        )
        for one, drawing in zip(axes[0], self.drawings, strict=True):
            drawing(one)
            one.spines[["top", "right"]].set_visible(False)
        figure.savefig(self.folder / "bench.png", dpi=150)


def add_speed(report: Report, arguments: argparse.Namespace, console: Console) -> None:
    rows = []
    for case in CASES:
        if arguments.cases is None or case.name in arguments.cases:
            console.print(f"[bold]{case.title}[/bold]")
            options = arguments.rounds, arguments.seconds, not arguments.no_peer, arguments.out
            rows.append(measure_case(case, *options, tell=console.print))
            console.print(rows[-1])
    report.add(
        "Microseconds per atom and evaluation through ASE, one core",
        speed_table(rows),
        [asdict(row) for row in rows],
        lambda axes: draw_speed(axes, rows),
    )


def add_kernels(report: Report, arguments: argparse.Namespace, console: Console) -> None:
    torch.set_num_threads(1)
    for dtype in KERNEL_DTYPES:
        console.print(f"[bold]kernels, {dtype}[/bold]")
        found, limit = measure_kernels(SMALL, model_file(SMALL, arguments.out), dtype, arguments.out)
        report.add(
            f"Kernels of the small architecture, {dtype}",
            kernel_table(found, limit),
            [asdict(row) for row in found],
            lambda axes, found=found, dtype=dtype: draw_kernels(axes, found, f"kernels, {dtype}"),
        )


def add_scaling(report: Report, arguments: argparse.Namespace, console: Console) -> None:
    source, rows = model_file(SMALL, arguments.out), []
    for dtype in DTYPES:
        model = compiled_model(source, dtype=dtype, progress=console.print)
        for repeats in arguments.repeats:
            for row in measure_in_turn(model, dtype, repeats, arguments.ranks, arguments.seconds, arguments.out):
                rows.append(row)
                console.print(row)
    report.add(
        "LAMMPS, small architecture on diamond silicon",
        scaling_table(rows),
        [asdict(row) for row in rows],
        lambda axes: draw_scaling(axes, rows),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="default: all")
    parser.add_argument("--cases", nargs="+", choices=[case.name for case in CASES], help="speed cases; default: all")
    parser.add_argument("--seconds", type=float, default=5.0, help="time per measurement in s (default: 5)")
    parser.add_argument("--rounds", type=int, default=2, help="number of measurements per case (default: 2)")
    parser.add_argument("--repeats", nargs="+", type=int, default=[4, 6, 12, 23], help="silicon cells per box edge")
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2], help="MPI ranks of scaling (default: 1 2)")
    parser.add_argument("--no-peer", action="store_true", help="do not time mace-torch")
    parser.add_argument("--out", type=Path, default=Path("out/bench"), help="folder for results (default: out/bench)")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    console, report = Console(highlight=False), Report(arguments.out)
    for part, add in (("speed", add_speed), ("kernels", add_kernels), ("scaling", add_scaling)):
        if part in arguments.parts:
            add(report, arguments, console)
    report.draw()
    console.print((arguments.out / "bench.md").read_text(), markup=False)
    console.print(f"written: bench.md, bench.png and results.json in {arguments.out}")


if __name__ == "__main__":
    main()
