"""``mlip-lammps md``: molecular dynamics with LAMMPS."""

import argparse
from typing import TYPE_CHECKING

from mlip_lammps.cli import options
from mlip_lammps.core.arguments import COUNT
from mlip_lammps.workflows.settings import DYNAMICS

if TYPE_CHECKING:
    from ase import Atoms

    from mlip_lammps.analysis.averages import Average
    from mlip_lammps.cli._run import Run
    from mlip_lammps.workflows.dynamics.results import DynamicsResults
    from mlip_lammps.workflows.dynamics.run import FinishedRun
    from mlip_lammps.workflows.dynamics.settings import DynamicsSettings

NAME = "md"
HELP = "run molecular dynamics; the same command continues an interrupted run"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME, dtype="mixed", has_tasks=False)

    def add(name: str, setting: str, default: float | None, metavar: str, text: str, **extra: object) -> None:
        shown = "" if default is None else f" (default: {default:g})"
        number = options.number(DYNAMICS.get(setting, setting))
        parser.add_argument(name, type=number, default=default, metavar=metavar, help=text + shown, **extra)

    parser.add_argument("--ensemble", choices=("nve", "nvt", "npt"), default="nvt", help="(default: nvt)")
    add("--temperature", "temperature", 300.0, "K", "temperature in K; two numbers for a ramp", nargs="+")
    add("--pressure", "pressure_gpa", 0.0, "GPA", "pressure of the barostat in GPa; two for a ramp", nargs="+")
    parser.set_defaults(temperature=[300.0], pressure=[0.0])
    add("--time", "time_ps", 10.0, "PS", "length of the run in ps; a longer one continues a finished run")
    add("--timestep", "timestep_fs", None, "FS", "time step in fs (default: 0.5 with hydrogen, else 1)")
    parser.add_argument(
        "--thermostat",
        choices=("nose-hoover", "langevin", "csvr"),
        default="nose-hoover",
        help="csvr: stochastic velocity rescaling (default: nose-hoover)",
    )
    parser.add_argument(
        "--barostat",
        choices=("iso", "aniso", "tri"),
        default="iso",
        help="iso: volume; aniso: three lengths; tri: lengths and tilts (default: iso)",
    )
    add("--thermostat-time", "thermostat_fs", 100.0, "FS", "time constant of the thermostat in fs")
    add("--barostat-time", "barostat_fs", 1000.0, "FS", "time constant of the barostat in fs")
    parser.add_argument(
        "--repeat", type=options.number(COUNT), nargs=3, metavar="N", help="repeat the structure along its cell vectors"
    )
    add("--seed", "seed", 2026, "N", "seed of velocities and stochastic thermostats")
    add("--thermo-every", "thermo_every", 20, "N", "steps between rows of thermo.csv")
    add("--trajectory-every", "trajectory_every", 100, "N", "steps between frames of trajectory.lammpstrj")
    add("--restart-every", "restart_every", 2000, "N", "steps between restart files, all that a kill can cost")
    add("--equilibration", "equilibration_ps", None, "PS", "start without averages, ps (default: a fifth of the run)")
    add("--viscosity", "viscosity", None, "MPA_S", "corrects diffusion for the size of a cubic box; viscosity in mPa s")
    add("--spectrum", "spectrum_fs", None, "FS", "vibrational spectrum from velocities every FS fs")
    parser.add_argument(
        "--committee", nargs="+", default=[], metavar="MODEL", help="more models, whose mean drives the atoms"
    )
    add("--stop-above", "stop_above", None, "FORCE", "end the run above this force deviation, eV/angstrom")
    add("--label-above", "label_above", None, "FORCE", "save frames above this deviation to uncertain.extxyz")
    parser.add_argument(
        "--untrained-stress",
        action="store_true",
        help="allow a barostat for a shipped model that was trained without stresses",
    )


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.analysis.dynamics_plots import plot_md
    from mlip_lammps.cli._run import open_model, open_run
    from mlip_lammps.models import resolve_model
    from mlip_lammps.workflows.dynamics.results import dynamics_results, equilibration_of
    from mlip_lammps.workflows.dynamics.run import run_dynamics
    from mlip_lammps.workflows.dynamics.settings import timestep_warnings

    others = [resolve_model(model) for model in arguments.committee]
    with open_run(arguments, NAME, others) as run:
        atoms = run.single()
        settings = _settings(arguments, atoms)
        equilibration_of(settings.time_ps, arguments.equilibration)  # refuses before the run
        run.warn(timestep_warnings(atoms, settings.timestep_fs))
        if arguments.repeat is not None:
            atoms = atoms.repeat(arguments.repeat)
        models = [run.calculator, *(open_model(arguments, str(model)) for model in others)]
        done = run_dynamics(
            atoms,
            models,
            settings,
            run.folder.path,
            n_ranks=arguments.ranks,
            allow_untrained_stress=arguments.untrained_stress,
            report=run.tasks.report,
        )
        results = dynamics_results(done, arguments.equilibration, viscosity=arguments.viscosity)
        run.folder.write_results(results)
        n_uncertain = _write_structures(run, done)
        plot_md(run.folder.path / "dynamics.png", run.folder.path, results)
        _show(run, results, settings, n_uncertain)
        run.warn(warning for warning in results.warnings if warning not in done.warnings)  # shown before the run
    return 0


def _settings(arguments: argparse.Namespace, atoms: "Atoms") -> "DynamicsSettings":
    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.workflows.dynamics.settings import DynamicsSettings, default_timestep

    def ramp(name: str) -> list[float | None]:
        numbers = getattr(arguments, name)
        if len(numbers) > 2:
            raise UserInputError(f"--{name} has {len(numbers)} numbers; give one, or two for a ramp")
        return [*numbers, None][:2]

    temperature, temperature_end = ramp("temperature")
    pressure, pressure_end = ramp("pressure")
    return DynamicsSettings(
        ensemble=arguments.ensemble,
        temperature=temperature,
        temperature_end=temperature_end,
        pressure_gpa=pressure,
        pressure_end_gpa=pressure_end,
        thermostat=arguments.thermostat,
        barostat=arguments.barostat,
        time_ps=arguments.time,
        timestep_fs=arguments.timestep or default_timestep(atoms),
        thermostat_fs=arguments.thermostat_time,
        barostat_fs=arguments.barostat_time,
        seed=arguments.seed,
        thermo_every=arguments.thermo_every,
        trajectory_every=arguments.trajectory_every,
        restart_every=arguments.restart_every,
        spectrum_fs=arguments.spectrum,
        stop_above=arguments.stop_above,
        label_above=arguments.label_above,
    )


def _write_structures(run: "Run", done: "FinishedRun") -> int:
    """Write the last frame, and frames for labelling if there are any; return the number of those."""
    from mlip_lammps.analysis.lammps_trajectory import index_frames, read_frames
    from mlip_lammps.workflows.dynamics.lammps_input import LABELLING

    run.folder.write_structures("last", done.last_frame())
    uncertain = run.folder.path / LABELLING
    n_uncertain = len(index_frames(uncertain))
    if n_uncertain:
        run.folder.write_structures("uncertain", [frame.atoms() for frame in read_frames(uncertain)])
    return n_uncertain


def _show(run: "Run", results: "DynamicsResults", settings: "DynamicsSettings", n_uncertain: int) -> None:
    def text(average: "Average", unit: str, digits: int) -> str:
        error = "" if average.error is None else f" ± {average.error:.{digits}f}"
        return f"{average.mean:.{digits}f}{error} {unit}"

    facts = {
        "averages over": f"{results.time_ps:g} ps",
        "temperature": text(results.temperature, "K", 1),
    }
    if results.pressure_gpa is not None:
        facts["pressure"] = text(results.pressure_gpa, "GPa", 3)
    if results.force_deviation is not None:
        facts["force deviation"] = text(results.force_deviation, "eV/Å", 4)
    if n_uncertain:
        facts["frames for labelling"] = f"{n_uncertain} in uncertain.extxyz"
    if settings.ensemble == "npt":
        facts["density"] = text(results.density, "g/cm³", 4)
    if results.drift is not None:
        facts["energy drift"] = f"{results.drift:.4f} meV per atom and ps"
    for name, pair in results.pairs.items():
        if pair.g.max() > 0:
            r, g = pair.highest_peak()
            facts[f"g(r) of {name}"] = f"maximum {g:.2f} at {r:.2f} Å"
    for name, found in results.coordination.items():
        facts[f"coordination {name}"] = f"{found.mean:.2f} within {found.cutoff:.2f} Å"
    for element, moved in results.diffusion.items():
        facts[f"diffusion of {element}"] = text(moved.coefficient, "Å²/ps", 4)
    if results.finite_size_correction is not None:
        facts["correction for the box"] = f"+ {results.finite_size_correction:.4f} Å²/ps"
    if results.last_step < settings.n_steps:
        facts["stopped"] = f"at step {results.last_step}: the force deviation exceeds {settings.stop_above:g} eV/Å"
    run.show_facts(facts)
