"""Time of a step of LAMMPS against atoms and ranks, and the memory of a rank: random-weight models on diamond silicon.

    python -m benchmarks.scaling [--case small|medium] [--dtype float64 mixed] [--repeats 4 6 12] [--ranks 1 2]

Each run starts LAMMPS anew: NVE from a rattled lattice, one thread a rank. Prints microseconds per atom, core and step,
the parallel efficiency against one rank on the same atoms, and the largest memory of a process; writes scaling.json and
scaling.png.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import machine, model_file
from benchmarks.cases import CASES
from mlip_lammps.engines.lammps_process import find_program
from mlip_lammps.export import compiled_model

DECK = """units metal
atom_modify map array
lattice diamond 5.43
region box block 0 {n} 0 {n} 0 {n}
create_box 1 box
create_atoms 1 box
mass 1 28.0855
displace_atoms all random 0.05 0.05 0.05 7
velocity all create 300 11
pair_style mlip/torch
pair_coeff * * {model} Si
neigh_modify every 1 delay 0 check yes
fix nve all nve
timestep 0.001
run 2
run {steps}
"""
_LOOP_TIME = re.compile(r"Loop time of (\S+) on (\d+) procs for (\d+) steps with (\d+) atoms")


@dataclass(frozen=True)
class Run:
    """One run of LAMMPS."""

    dtype: str
    n_atoms: int
    n_ranks: int
    microseconds: float
    """Of one core for an atom and step."""
    peak_mb: float


def measure(model: Path, dtype: str, repeats: int, n_ranks: int, seconds: float, folder: Path) -> Run:
    """Run LAMMPS once for about ``seconds``."""
    n_atoms = 8 * repeats**3
    steps = max(3, int(seconds * n_ranks / (n_atoms * 2e-4)))
    deck = folder / "in.scaling"
    deck.write_text(DECK.format(n=repeats, model=model, steps=steps))
    command = [find_program("mpiexec"), "-n", str(n_ranks), find_program("lmp"), "-in", str(deck), "-log", "none"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    probe = [sys.executable, "-m", "benchmarks.scaling", "--probe", *map(str, command)]
    done = subprocess.run(probe, capture_output=True, text=True, env=environment, check=False)
    loops = _LOOP_TIME.findall(done.stdout)
    if done.returncode != 0 or len(loops) != 2:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    loop, ranks, n_steps, atoms = loops[-1]
    peak = float(done.stdout.rsplit("PEAK_KB ", 1)[1].split()[0]) / 1024
    per_atom = 1e6 * float(loop) * int(ranks) / (int(n_steps) * int(atoms))
    return Run(dtype, int(atoms), int(ranks), per_atom, peak)


def probe(command: list[str]) -> int:
    """Run a command and say the largest memory of a process below it."""
    done = subprocess.run(command, check=False)
    print("PEAK_KB", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, flush=True)
    return done.returncode


def show(runs: list[Run], console: Console) -> None:
    """Print the table."""
    table = Table(title="LAMMPS, microseconds of a core per atom and step")
    for heading in ("dtype", "atoms", "ranks", "us", "efficiency", "memory of a process"):
        table.add_column(heading, justify="left" if heading == "dtype" else "right")
    alone = {(run.dtype, run.n_atoms): run.microseconds for run in runs if run.n_ranks == 1}
    for run in runs:
        base = alone.get((run.dtype, run.n_atoms))
        efficiency = f"{100 * base / run.microseconds:.0f} %" if base and run.n_ranks > 1 else ""
        sizes = [f"{run.n_atoms:,}", str(run.n_ranks)]
        table.add_row(run.dtype, *sizes, f"{run.microseconds:.0f}", efficiency, f"{run.peak_mb:.0f} MB")
    console.print(table)


def draw(runs: list[Run], path: Path) -> None:
    """Draw time per atom against atoms."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    for dtype, n_ranks in dict.fromkeys((run.dtype, run.n_ranks) for run in runs):
        chosen = [run for run in runs if (run.dtype, run.n_ranks) == (dtype, n_ranks)]
        label = f"{dtype}, {n_ranks} rank{'s' if n_ranks > 1 else ''}"
        axes.plot([run.n_atoms for run in chosen], [run.microseconds for run in chosen], "o-", label=label)
    axes.set(xscale="log", xlabel="atoms", ylabel="core microseconds per atom and step", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=("small", "medium"), default="small")
    parser.add_argument("--dtype", nargs="+", choices=("float64", "mixed"), default=["float64", "mixed"])
    parser.add_argument("--repeats", nargs="+", type=int, default=[4, 6, 12], help="cells along an edge")
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=6.0, help="of each run, about (default: 6)")
    parser.add_argument("--out", type=Path, default=Path("out/bench"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    console = Console(highlight=False)
    (case,) = [case for case in CASES if case.name == arguments.case]
    source = model_file(case, arguments.out)
    runs = []
    for dtype in arguments.dtype:
        model = compiled_model(source, dtype=dtype, progress=console.print)
        for repeats in arguments.repeats:
            for n_ranks in arguments.ranks:
                runs.append(measure(model, dtype, repeats, n_ranks, arguments.seconds, arguments.out))
                console.print(runs[-1])
    record = {"machine": machine(), "case": case.title, "runs": [asdict(run) for run in runs]}
    (arguments.out / "scaling.json").write_text(json.dumps(record, indent=1))
    show(runs, console)
    draw(runs, arguments.out / "scaling.png")
    console.print(f"written: {arguments.out / 'scaling.json'}, {arguments.out / 'scaling.png'}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--probe"]:
        sys.exit(probe(sys.argv[2:]))
    main()
