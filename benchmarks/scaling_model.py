"""Time of a step on many ranks, from compute per atom, ghosts, bytes of each exchange, latency and bandwidth.

    python -m benchmarks.scaling_model [--measure] [--out benchmarks/results/scaling.md]

With ``--measure``, real runs on 1 to 8 ranks of this machine stand beside the model: ghosts, bytes, times, shares of
neighbour lists, communication and model, and energies (three minutes).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from pathlib import Path

from ase.build import bulk

from benchmarks.common import load_average, machine, markdown_table
from benchmarks.scaling import Run, measure
from benchmarks.structures import ROOT
from mlip_lammps.compilation import compiled_model
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.mpi_process import find_program
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.workflows.estimate import SKIN, ghosts

MESSAGES = 6
"""Messages of an exchange: two in each direction of space."""
_POSITION_BYTES = 3 * 8
_MARK_BYTES = 8
MEASURED = ((1, 4), (1, 6), (1, 12), (1, 23), (2, 6), (2, 12), (2, 23), (2, 50), (4, 6), (4, 12), (4, 23))
MEASURED += ((8, 6), (8, 12), (8, 23))
"""Ranks and cells along each edge of the measured boxes: 512 to 1,000,000 atoms."""


@dataclass(frozen=True)
class Potential:
    """What a step of a model costs.

    Attributes
    ----------
    atom_seconds
        Compute time per atom and step on one rank.
    floor_seconds
        Shortest step of one rank, whatever its number of atoms.
    feature_bytes
        Bytes of an atom in each exchange of features between layers.
    cutoff
        In angstrom.
    is_resident
        Whether the model finds its edges on a GPU: LAMMPS does not know the ghosts with edges, and all get features.
    """

    name: str
    atom_seconds: float
    floor_seconds: float
    feature_bytes: tuple[int, ...]
    cutoff: float
    is_resident: bool = False


@dataclass(frozen=True)
class Network:
    """Latency of a message, and bandwidth of one rank while all ranks of a node communicate."""

    name: str
    latency_seconds: float
    bytes_per_second: float


@dataclass(frozen=True)
class Step:
    """Predicted step of a rank.

    Attributes
    ----------
    compute, exchange
        Seconds.
    bytes
        Bytes that a rank sends in a step.
    """

    n_owned: float
    n_ghost: int
    compute: float
    exchange: float
    bytes: float

    @property
    def seconds(self) -> float:
        return self.compute + self.exchange


def neighbours_outside(n_owned: float, density: float, cutoff: float) -> int:
    """Return the atoms outside a cube that have a neighbour in it: the cube grown by a sphere, with round edges."""
    side = (n_owned / density) ** (1 / 3)
    return round(density * cutoff * (6.0 * side**2 + 3.0 * pi * side * cutoff + 4.0 / 3.0 * pi * cutoff**2))


def step(potential: Potential, network: Network, n_owned: float, density: float) -> Step:
    """Return the step of a rank with a cubic part of the box, which has neighbours on all sides.

    Notes
    -----
    Positions go out and forces come back once, for all ghosts. Features go out and their gradients come back once for
    each layer but the last, for ghosts with edges: those within the cutoff. Owners first hear which ones these are.
    """
    n_ghost = ghosts(n_owned, density, potential.cutoff + SKIN)
    has_marks = bool(potential.feature_bytes) and not potential.is_resident
    n_needed = neighbours_outside(n_owned, density, potential.cutoff) if has_marks else n_ghost
    n_exchanges = 2 + has_marks + 2 * len(potential.feature_bytes)
    latency = n_exchanges * MESSAGES * network.latency_seconds
    compute = max(potential.floor_seconds, n_owned * potential.atom_seconds)
    sent = n_ghost * (2 * _POSITION_BYTES + has_marks * _MARK_BYTES) + n_needed * 2 * sum(potential.feature_bytes)
    return Step(n_owned, n_ghost, compute, latency + sent / network.bytes_per_second, sent)


def recomputed(potential: Potential, network: Network, n_owned: float, density: float) -> Step:
    """Return the step without exchange of features: a rank repeats the first layers for ghosts of longer reach."""
    n_layers = len(potential.feature_bytes) + 1
    reach = [ghosts(n_owned, density, k * potential.cutoff + SKIN) for k in range(1, n_layers + 1)]
    atoms_of_layers = sum(n_owned + n for n in reach[:-1]) + n_owned
    compute = max(potential.floor_seconds, potential.atom_seconds * atoms_of_layers / n_layers)
    sent = reach[-1] * 2 * _POSITION_BYTES
    exchange = 2 * MESSAGES * network.latency_seconds + sent / network.bytes_per_second
    return Step(n_owned, reach[-1], compute, exchange, sent)


def strong_table(potential: Potential, network: Network, n_atoms: int, ranks: Sequence[int], density: float) -> str:
    """Return the table of a box of constant size."""
    alone = max(potential.floor_seconds, n_atoms * potential.atom_seconds)
    rows = []
    for n_ranks in ranks:
        one = step(potential, network, n_atoms / n_ranks, density)
        other = recomputed(potential, network, n_atoms / n_ranks, density)
        rows.append(
            (f"{n_ranks:,}", f"{one.n_owned:,.0f}", f"{one.n_ghost:,}", f"{1e3 * one.seconds:.3g}",
             f"{100 * one.exchange / one.seconds:.0f} %", f"{100 * alone / n_ranks / one.seconds:.0f} %",
             f"{other.seconds / one.seconds:.1f}")
        )  # fmt: skip
    headings = (
        "ranks", "atoms of a rank", "ghosts of a rank", "ms for a step", "exchange", "efficiency",
        "time with recomputed halos, in steps",
    )  # fmt: skip
    return markdown_table(headings, rows)


def measured_tables(runs: Sequence[tuple[int, Run]], potential: Potential, network: Network, density: float) -> str:
    """Return two tables of real runs, with their numbers of ranks: shares of a step, and the model beside them.

    Notes
    -----
    Ranks beyond the cores take turns, so a step takes the time of all ranks of a core.
    """
    shares, beside, n_cores = [], [], os.cpu_count()
    energies = {run.n_atoms: run.energy for n_ranks, run in runs if n_ranks == 1}
    for n_ranks, run in runs:
        energy = energies.get(run.n_atoms)
        difference = "" if energy is None or n_ranks == 1 else f"{abs(run.energy - energy) / run.n_atoms:.0e}"
        rest = 1.0 - run.model - run.neighbours - run.communication
        percent = [f"{100 * one:.1f} %" for one in (run.model, run.neighbours, run.communication, rest)]
        sizes = f"{n_ranks}", f"{run.n_atoms:,}"
        shares.append((*sizes, f"{run.microseconds:.1f}", *percent, f"{run.peak_mb:,.0f}", difference))
        expected = step(potential, network, run.n_atoms / n_ranks, density)
        sent = expected.bytes - 2 * _POSITION_BYTES * expected.n_ghost
        predicted = 1e6 * expected.seconds * max(1.0, n_ranks / n_cores) * n_ranks / run.n_atoms
        beside.append(
            (*sizes, f"{run.n_ghost:,.0f}", f"{expected.n_ghost:,}", f"{run.sent_kb:,.0f}", f"{sent / 1e3:,.0f}",
             f"{run.microseconds:.1f}", f"{predicted:.1f}", f"{run.microseconds / predicted:.2f}")
        )  # fmt: skip
    time_of_atom = "rank-us for an atom and step"
    first = (
        "ranks", "atoms", time_of_atom, "model", "neighbour lists", "communication and waiting", "rest",
        "peak MB of a rank", "difference from one rank, eV/atom",
    )  # fmt: skip
    second = (
        "ranks", "atoms", "ghosts of a rank", "law", "kB of features sent", "law", time_of_atom, "law", "measured / law"
    )  # fmt: skip
    return f"{markdown_table(first, shares)}\n\n{markdown_table(second, beside)}"


def measured_network() -> Network:
    """Return latency and bandwidth of messages between two ranks of this machine."""
    command = [find_program("mpiexec"), "-n", "2", sys.executable, "-m", "benchmarks.messages"]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=rank_environment())
    latency, bandwidth = map(float, output.stdout.split())
    return Network(f"{1e6 * latency:.1f} us and {1e-9 * bandwidth:.1f} GB/s", latency, bandwidth)


def measure_here(density: float) -> list[str]:
    """Run LAMMPS on 1 to 8 ranks of this machine and return the tables."""
    model = compiled_model("silicon-pbe", dtype="mixed")
    metadata, load, network = read_metadata(model), load_average(), measured_network()
    with tempfile.TemporaryDirectory() as folder:
        runs = [(n, measure(model, k, n, 1, 3.0, Path(folder))[0]) for n, k in MEASURED]
    _, alone = runs[0]
    atom_seconds = 1e-6 * alone.microseconds * (alone.model + alone.neighbours)
    features = tuple(4 * width for width in metadata["feature_widths"])
    potential = Potential("silicon-pbe", atom_seconds, 0.0, features, metadata["cutoff"])
    facts = machine()
    where = f"{facts['processor']}, {facts['cores']} cores, torch {facts['torch']}; load average {load}"
    return [
        f"Shipped silicon-pbe, mixed, measured on {where}. Ranks beyond the cores take turns on them. The law takes "
        f"the time of an atom from the first row, and the messages of two ranks ({network.name}):\n",
        measured_tables(runs, potential, network, density) + "\n",
    ]


def main() -> None:
    """Print the tables and write them to a file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measure", action="store_true", help="also run LAMMPS on 1, 2, 4 and 8 ranks")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/scaling.md", metavar="FILE")
    arguments = parser.parse_args()
    crystal = bulk("Si", a=5.43, cubic=True)
    density = len(crystal) / crystal.get_volume()
    # widths of the features of two layers; times measured on one core of the machine in docs/speed.md, and on an H200
    medium = (4 * 512,)
    cpu = Potential("MACE medium, mixed, one core", 143e-6, 0.0, medium, 6.0)
    gpu = Potential("MACE medium, mixed, one H200", 1.0 / 2.16e6, 0.49e-3, medium, 6.0, is_resident=True)
    core_network = Network("200 Gbit/s for 128 cores", 2e-6, 25e9 / 128)
    card_network = Network("200 Gbit/s for each GPU, through host memory", 20e-6, 12e9)
    parts = ["# Scaling tables\n", "Written by `python -m benchmarks.scaling_model --measure`.\n"]
    for potential, network, ranks in ((cpu, core_network, (128, 1024, 10_240)), (gpu, card_network, (8, 64, 1024))):
        for n_atoms in (100_000, 1_000_000, 1_000_000_000):
            parts.append(f"{potential.name}, {network.name}, {n_atoms:,} atoms of silicon:\n")
            parts.append(strong_table(potential, network, n_atoms, ranks, density) + "\n")
    if arguments.measure:
        parts += measure_here(density)
    arguments.out.write_text("\n".join(parts))
    print("\n".join(parts))


if __name__ == "__main__":
    main()
