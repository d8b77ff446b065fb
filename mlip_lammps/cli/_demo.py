"""The demo: compile a model, run an input script on several ranks, show its progress and plot the results."""

import shlex
import signal
import time
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mlip_lammps.analysis.plots import plot_dynamics
from mlip_lammps.analysis.rdf import read_lammps_rdf
from mlip_lammps.analysis.thermo import read_thermo
from mlip_lammps.cli._console import open_console
from mlip_lammps.cli._demo_settings import DemoSettings, read_demo_settings
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.lammps_data import count_atoms
from mlip_lammps.workflows.timed_run import STEP_MULTIPLE, LammpsInput, steps_for

# Without a terminal there is no progress bar, but a line each time this percentage of the steps is done.
PLAIN_PERCENT = 10


def run_demo(settings_file: Path, out: Path, n_ranks: int, n_steps: int | None, minutes: float) -> None:
    """Run a demo and write its files into ``out``.

    Parameters
    ----------
    settings_file
        TOML file, see :class:`DemoSettings`.
    out
        Output folder for the log, the trajectory and the picture.
    n_ranks
        Number of MPI ranks.
    n_steps
        Length of the run; None to choose it from ``minutes`` and the speed of a warm-up.
    minutes
        Duration of the run in minutes.

    Raises
    ------
    UserInputError
        If a number is not positive or a file is missing.
    MpiRunError
        If LAMMPS fails.
    """
    if n_ranks < 1 or not minutes > 0 or (n_steps is not None and n_steps < 1):
        raise UserInputError(f"--ranks is {n_ranks}, --minutes {minutes:g}, --steps {n_steps}; give numbers above 0")
    if n_steps is not None and n_steps < STEP_MULTIPLE:
        raise UserInputError(
            f"--steps is {n_steps}, but the picture needs g(r), which is written every {STEP_MULTIPLE} steps; give "
            f"{STEP_MULTIPLE} or more"
        )
    # SIGTERM must end the MPI ranks in the same way as Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = open_console()
    settings = read_demo_settings(settings_file)
    console.print(f"[bold]{escape(settings.title)}[/bold]")
    out.mkdir(parents=True, exist_ok=True)
    variables = {"data": settings.data}
    if settings.model is not None:
        variables["model"] = compile_model(settings.model, settings.dtype, console)
    lammps_input = LammpsInput(settings.input, variables, n_ranks)
    if n_steps is None:
        n_steps = choose_steps(lammps_input, minutes, out / "warm_up", console)

    command = ["mpiexec", "-n", n_ranks, "lmp", "-in", settings.input]
    for name, value in {**lammps_input.values, "steps": n_steps, "out": out}.items():
        command += ["-var", name, value]
    console.print(shlex.join(map(str, command)), markup=False)
    with RunDisplay(console, n_steps, count_atoms(settings.data)) as display:
        loop_time = lammps_input.run(n_steps, out, display.show)
    draw_run(settings, loop_time.n_atoms, out, console)
    console.print(
        f"{loop_time.n_steps} steps of {loop_time.n_atoms} atoms on {loop_time.n_ranks} ranks in "
        f"{loop_time.seconds:.1f} s: [bold]{loop_time.atom_steps_per_second:.0f} atom-steps/s[/bold]"
    )


def choose_steps(lammps_input: LammpsInput, minutes: float, folder: Path, console: Console) -> int:
    """Return the number of steps that take about ``minutes`` on this machine, estimated from a short run."""
    console.print("Warm-up to choose the length of the run ...")
    warm_up = lammps_input.warm_up(folder)
    n_steps = steps_for(minutes, warm_up)
    expected = n_steps * warm_up.seconds / warm_up.n_steps / 60.0
    console.print(f"  {warm_up.atom_steps_per_second:.0f} atom-steps/s: {n_steps} steps, about {expected:.1f} min")
    return n_steps


def compile_model(source: Path, dtype: str, console: Console) -> Path:
    """Return ``source`` compiled for this machine, from the cache if nothing changed since an earlier demo."""
    # Slow to import, and a demo without a model does not need torch.
    from mlip_lammps.compilation import compiled_model

    console.print(f"Compiling {source} for this machine once: about a minute ...", markup=False)
    return compiled_model(source, dtype=dtype, progress=lambda line: console.print(f"  {line}", markup=False))


class RunDisplay:
    """Shows thermo output during the run: a progress bar on a terminal, occasional lines otherwise."""

    def __init__(self, console: Console, n_steps: int, n_atoms: int) -> None:
        self._console = console
        self._n_steps = n_steps
        self._n_atoms = n_atoms
        self._start: float | None = None
        self._next_plain_step = 0.0
        self._progress = Progress(
            TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(),
            TextColumn("left"),
            console=console,
            expand=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=n_steps, state="starting")

    def __enter__(self) -> "RunDisplay":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, row: dict[str, float]) -> None:
        """Show one row of thermo output with columns ``Step``, ``Temp`` and ``PotEng``."""
        step = row["Step"]
        # The clock starts at the first row, so that the speed excludes the start of LAMMPS.
        self._start = self._start or time.monotonic()
        state = f"{row['Temp']:.0f} K  {row['PotEng']:.3f} eV"
        if step and (seconds := time.monotonic() - self._start):
            state += f"  {step * self._n_atoms / seconds:.0f} atom-steps/s"
        self._progress.update(self._task, completed=step, state=state)
        if self._progress.disable:
            self._show_plain(step, state)

    def _show_plain(self, step: float, state: str) -> None:
        if step >= self._next_plain_step:
            self._console.print(f"step {step:.0f}/{self._n_steps}  {state}")
            self._next_plain_step += self._n_steps * PLAIN_PERCENT / 100.0


def draw_run(settings: DemoSettings, n_atoms: int, out: Path, console: Console) -> None:
    """Plot a run whose files are in ``out``, and print a summary."""
    thermo = read_thermo(out / "log.lammps")[-1]
    rdf = read_lammps_rdf(out / settings.rdf_file)
    picture = out / "picture.png"
    plot_dynamics(
        picture,
        thermo,
        n_atoms,
        rdf,
        title=settings.title,
        target_temperature=settings.target_temperature,
        pair_label=settings.rdf_pair,
        reference=settings.rdf_reference,
    )
    r, g = rdf.highest_peak()
    mean_temperature = thermo["Temp"].mean()
    console.print(f"mean temperature {mean_temperature:.1f} K (target {settings.target_temperature:g} K)")
    console.print(f"{settings.rdf_pair} g(r): maximum {g:.2f} at {r:.2f} angstrom")
    if settings.rdf_reference is not None:
        points = zip(settings.rdf_reference.r, settings.rdf_reference.g, strict=True)
        text = ", ".join(f"{g:.2f} at {r:.2f}" for r, g in points)
        console.print(f"  {settings.rdf_reference.label}: {text}")
    console.print(f"picture: [bold]{escape(str(picture))}[/bold]")
