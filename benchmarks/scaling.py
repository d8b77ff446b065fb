"""Time of a step of LAMMPS against atoms and ranks, memory of a rank, and time to the first step.

Each run starts LAMMPS anew: the small architecture on diamond silicon, NVE from a rattled lattice, one thread a rank.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import markdown_table
from mlip_lammps.engines.lammps_cases import rank_environment
from mlip_lammps.engines.lammps_process import LammpsProcess, read_peak_bytes

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
run {steps} pre no
info memory
"""
TURNS = 3
MOST_ATOMS_IN_TURN = 20_000
"""Larger boxes take minutes and average by themselves."""
_GHOSTS = re.compile(r"Nghost:\s+(\S+) ave")


@dataclass(frozen=True)
class Run:
    """One run of LAMMPS.

    Attributes
    ----------
    microseconds
        Of one core for an atom and step.
    n_ghost
        Of a rank.
    peak_mb
        Of the first rank.
    start_seconds
        From ``mpiexec`` to the first forces.
    """

    dtype: str
    n_atoms: int
    n_ranks: int
    microseconds: float
    n_ghost: float
    peak_mb: float
    start_seconds: float


def measure_in_turn(
    model: Path, dtype: str, repeats: int, ranks: Sequence[int], seconds: float, folder: Path
) -> list[Run]:
    """Return the median run on each number of ranks, of several in turn: the speed of a machine drifts."""
    turns = TURNS if 8 * repeats**3 <= MOST_ATOMS_IN_TURN else 1
    found = [[measure(model, dtype, repeats, n, seconds, folder) for n in ranks] for _ in range(turns)]
    return [sorted(of_ranks, key=lambda run: run.microseconds)[turns // 2] for of_ranks in zip(*found, strict=True)]


def measure(model: Path, dtype: str, repeats: int, n_ranks: int, seconds: float, folder: Path) -> Run:
    """Run LAMMPS once for about ``seconds``."""
    n_atoms = 8 * repeats**3
    steps = max(2, int(seconds * n_ranks / (n_atoms * 2e-4)))
    deck, log = folder / "in.scaling", folder / "log.scaling"
    deck.write_text(DECK.format(n=repeats, model=model, steps=steps))
    started = time.monotonic()
    with LammpsProcess(deck, n_ranks, {}, log, environment=rank_environment()) as process:
        # the row of step 0 follows the first forces
        first, *_ = [time.monotonic() for _ in process.rows()]
    loop, text = process.loop_times[-1], log.read_text()
    return Run(
        dtype,
        n_atoms=loop.n_atoms,
        n_ranks=n_ranks,
        microseconds=1e6 * n_ranks / loop.atom_steps_per_second,
        n_ghost=float(_GHOSTS.findall(text)[-1]),
        peak_mb=read_peak_bytes(text) / 2**20,
        start_seconds=first - started,
    )


def kilobytes_of_an_atom(runs: list[Run], run_: Run) -> float | None:
    """Return the memory for an owned or ghost atom beyond that of the smallest run in this precision, kB."""
    alike = [other for other in runs if (other.dtype, other.n_ranks) == (run_.dtype, run_.n_ranks)]
    least = min(alike, key=lambda other: other.n_atoms)
    atoms = [other.n_atoms / other.n_ranks + other.n_ghost for other in (least, run_)]
    return 1024 * (run_.peak_mb - least.peak_mb) / (atoms[1] - atoms[0]) if atoms[1] > atoms[0] else None


def scaling_table(runs: list[Run]) -> str:
    """Return the table in markdown."""
    alone = {(one.dtype, one.n_atoms): one.microseconds for one in runs if one.n_ranks == 1}
    body = []
    for one in runs:
        base, kilobytes = alone.get((one.dtype, one.n_atoms)), kilobytes_of_an_atom(runs, one)
        body.append(
            (
                one.dtype,
                f"{one.n_atoms:,}",
                one.n_ranks,
                f"{one.microseconds:.0f}",
                f"{100 * base / one.microseconds:.0f} %" if base and one.n_ranks > 1 else "",
                f"{one.n_ghost:,.0f}",
                f"{one.peak_mb:.0f}",
                f"{kilobytes:.1f}" if kilobytes is not None else "",
                f"{one.start_seconds:.1f}",
            )
        )
    headings = (
        "precision", "atoms", "ranks", "core us per atom and step", "efficiency", "ghosts of a rank",
        "memory of a process, MB", "kB for an atom or ghost more", "seconds to the first forces",
    )  # fmt: skip
    return markdown_table(headings, body)


def draw_scaling(axes, runs: list[Run]) -> None:
    """Draw time per atom against atoms."""
    for dtype, n_ranks in dict.fromkeys((one.dtype, one.n_ranks) for one in runs):
        chosen = [one for one in runs if (one.dtype, one.n_ranks) == (dtype, n_ranks)]
        label = f"{dtype}, {n_ranks} rank{'s' if n_ranks > 1 else ''}"
        axes.plot([one.n_atoms for one in chosen], [one.microseconds for one in chosen], "o-", label=label)
    axes.set(xscale="log", xlabel="atoms", ylabel="core microseconds per atom and step", ylim=(0, None))
    axes.set_title("LAMMPS, against atoms and ranks")
    axes.legend(frameon=False, fontsize=7)
