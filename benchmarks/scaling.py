"""Time of a LAMMPS step as a function of atoms and ranks, memory per rank, and time to the first step.

Each run starts a new LAMMPS process: the small architecture on diamond silicon, NVE from a rattled lattice, one thread
per rank. Several ranks are compared with one rank alone, and with the same number of independent single-rank runs at
the same time, because cores that share cache, memory and power slow each other down.
"""

import re
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import markdown_table
from mlip_lammps.engines.lammps.cases import rank_environment
from mlip_lammps.engines.lammps.process import LammpsProcess, read_peak_bytes

DECK = """units metal
atom_modify map array
lattice diamond 5.43
region box block 0 {n} 0 {n} 0 {n}
create_box 1 box
create_atoms 1 box
mass 1 28.0855
displace_atoms all random 0.05 0.05 0.05 7
velocity all create 300 11 loop geom
pair_style mlip/torch profile yes
pair_coeff * * "{model}" Si
neigh_modify every 1 delay 0 check yes
fix nve all nve
timestep 0.001
thermo_modify format float %.15g
run 2
run {steps} pre no
info out log memory
"""
TURNS = 5
MOST_ATOMS_IN_TURN = 20_000
"""Larger boxes run once: they take minutes and average over fluctuations."""
_GHOSTS = re.compile(r"Nghost:\s+(\S+) ave")
_SHARE = r"^{name} +\|.*\| +(\S+)$"
_SENT = re.compile(r"^kB sent per evaluation +\| +\S+ \| +(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """One run of LAMMPS.

    Attributes
    ----------
    microseconds
        Core time per atom and step.
    n_ghost
        Number of ghost atoms per rank.
    peak_mb
        Peak memory of the first rank.
    start_seconds
        Time from ``mpiexec`` to the first forces.
    neighbours, communication, model
        Fractions of the time of the steps: neighbour lists, communication of LAMMPS and of the pair style with the time
        that ranks wait for each other, and the rest of the pair style.
    sent_kb
        What the pair style sends in a step and on a rank, also to periodic images.
    energy
        Potential energy after two steps in eV.
    """

    n_atoms: int
    microseconds: float
    n_ghost: float
    peak_mb: float
    start_seconds: float
    neighbours: float
    communication: float
    model: float
    sent_kb: float
    energy: float


@dataclass(frozen=True)
class Row:
    """The median run on a number of ranks; runs alternate with others because the speed of a machine drifts.

    Attributes
    ----------
    efficiency
        Median parallel efficiency relative to one rank alone in the same round; None for one rank.
    efficiency_beside
        Median parallel efficiency relative to the same number of simultaneous single-rank runs.
    """

    dtype: str
    n_ranks: int
    run: Run
    efficiency: float | None = None
    efficiency_beside: float | None = None


def measure_in_turn(
    model: Path, dtype: str, repeats: int, ranks: Sequence[int], seconds: float, folder: Path
) -> list[Row]:
    """Return one row for one rank and one for each larger number in ``ranks``."""
    turns = TURNS if 8 * repeats**3 <= MOST_ATOMS_IN_TURN else 1
    several = [n for n in ranks if n > 1]
    alone, beside, together = [], {n: [] for n in several}, {n: [] for n in several}
    for _ in range(turns):
        alone += measure(model, repeats, 1, 1, seconds, folder)
        for n in several:
            beside[n].append(_median(measure(model, repeats, 1, n, seconds, folder)))
            together[n] += measure(model, repeats, n, 1, seconds, folder)
    rows = [Row(dtype, 1, _median(alone))]
    for n in several:
        efficiencies = [_median_ratio(base, together[n]) for base in (alone, beside[n])]
        rows.append(Row(dtype, n, _median(together[n]), *efficiencies))
    return rows


def _median(runs: Sequence[Run]) -> Run:
    return sorted(runs, key=lambda run: run.microseconds)[len(runs) // 2]


def _median_ratio(runs: Sequence[Run], others: Sequence[Run]) -> float:
    return statistics.median(run.microseconds / other.microseconds for run, other in zip(runs, others, strict=True))


def measure(model: Path, repeats: int, n_ranks: int, n_runs: int, seconds: float, folder: Path) -> list[Run]:
    """Run ``n_runs`` simultaneous LAMMPS processes for about ``seconds``."""
    with ThreadPoolExecutor() as pool:
        names = [f"scaling-{number}" for number in range(n_runs)]
        return list(pool.map(lambda name: _measure(model, repeats, n_ranks, seconds, folder, name), names))


def _measure(model: Path, repeats: int, n_ranks: int, seconds: float, folder: Path, name: str) -> Run:
    n_atoms = 8 * repeats**3
    steps = max(2, int(seconds * n_ranks / (n_atoms * 2e-4)))
    deck, log = folder / f"in.{name}", folder / f"log.{name}"
    deck.write_text(DECK.format(n=repeats, model=model, steps=steps))
    started = time.monotonic()
    with LammpsProcess(deck, n_ranks, {}, log, environment=rank_environment()) as process:
        # LAMMPS prints the row of step 0 after the first forces
        (first, _), (_, row), *_ = [(time.monotonic(), row) for row in process.rows()]
    loop, text = process.loop_times[-1], log.read_text()
    pair, exchange = _share(text, "Pair"), _share(text, "communication")
    return Run(
        n_atoms=loop.n_atoms,
        microseconds=1e6 * n_ranks / loop.atom_steps_per_second,
        n_ghost=float(_GHOSTS.findall(text)[-1]),
        peak_mb=read_peak_bytes(text) / 2**20,
        start_seconds=first - started,
        neighbours=_share(text, "Neigh"),
        communication=_share(text, "Comm") + pair * exchange,
        model=pair * (1.0 - exchange),
        sent_kb=float(_SENT.findall(text)[-1]),
        energy=row["E_pair"],
    )


def _share(log: str, name: str) -> float:
    """Return the fraction of a section in the last table that has it."""
    return float(re.findall(_SHARE.format(name=name), log, re.MULTILINE)[-1]) / 100.0


def kilobytes_of_an_atom(rows: Sequence[Row], row: Row) -> float | None:
    """Return the memory per owned or ghost atom in kB, relative to the smallest run in this precision."""
    runs = [other.run for other in rows if (other.dtype, other.n_ranks) == (row.dtype, row.n_ranks)]
    least = min(runs, key=lambda run: run.n_atoms)
    atoms = [run.n_atoms / row.n_ranks + run.n_ghost for run in (least, row.run)]
    return 1024 * (row.run.peak_mb - least.peak_mb) / (atoms[1] - atoms[0]) if atoms[1] > atoms[0] else None


def scaling_table(rows: Sequence[Row]) -> str:
    """Return the table in Markdown."""
    body = []
    for row in rows:
        kilobytes = kilobytes_of_an_atom(rows, row)
        efficiencies = [f"{100 * one:.0f} %" if one else "" for one in (row.efficiency, row.efficiency_beside)]
        body.append(
            (
                row.dtype,
                f"{row.run.n_atoms:,}",
                row.n_ranks,
                f"{row.run.microseconds:.0f}",
                *efficiencies,
                f"{row.run.n_ghost:,.0f}",
                f"{row.run.peak_mb:.0f}",
                f"{kilobytes:.1f}" if kilobytes is not None else "",
                f"{row.run.start_seconds:.1f}",
            )
        )
    headings = (
        "precision", "atoms", "ranks", "core us per atom and step", "efficiency", "vs simultaneous single ranks",
        "ghosts of a rank", "memory of a process, MB", "kB for an atom or ghost more", "seconds to the first forces",
    )  # fmt: skip
    return markdown_table(headings, body)


def draw_scaling(axes, rows: Sequence[Row]) -> None:
    """Plot the time per atom as a function of the number of atoms."""
    for dtype, n_ranks in dict.fromkeys((row.dtype, row.n_ranks) for row in rows):
        chosen = [row.run for row in rows if (row.dtype, row.n_ranks) == (dtype, n_ranks)]
        label = f"{dtype}, {n_ranks} rank{'s' if n_ranks > 1 else ''}"
        axes.plot([run.n_atoms for run in chosen], [run.microseconds for run in chosen], "o-", label=label)
    axes.set(xscale="log", xlabel="atoms", ylabel="core microseconds per atom and step", ylim=(0, None))
    axes.set_title("LAMMPS, against atoms and ranks")
    axes.legend(frameon=False, fontsize=7)
