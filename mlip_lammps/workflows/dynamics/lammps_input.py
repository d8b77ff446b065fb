"""The LAMMPS input script of a run.

The run is a sequence of blocks. LAMMPS sets up its neighbour list at the start of each block and writes a restart file
at its end, so a run that continues from a restart file takes the same steps as one that was never interrupted.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mlip_lammps.engines.lammps.groups import group_commands
from mlip_lammps.workflows.dynamics.settings import DynamicsSettings

SCRIPT = "in.md"
START = "start.data"
TRAJECTORY = "trajectory.lammpstrj"
VELOCITIES = "velocities.lammpstrj"
LABELLING = "uncertain.lammpstrj"
RESTARTS = "restarts"
DEVIATION = "c_deviation[2]"
"""Column of the thermodynamic output with the largest force deviation of a committee."""
KEPT_RESTARTS = 3

_BAR_PER_GPA = 1e4


def restart_file(step: int | str) -> str:
    """Return the path of a restart file, relative to the run folder."""
    return f"{RESTARTS}/{step}.restart"


def write_script(
    file: Path,
    title: str,
    settings: DynamicsSettings,
    elements: Sequence[str],
    boundary: str,
    models: Sequence[Path],
    fixed: Sequence[int] = (),
    is_tilted: bool = False,
    keywords: str = "",
    masses: Mapping[str, float] | None = None,
) -> None:
    """Write the script.

    Parameters
    ----------
    title
        First line, a comment.
    elements
        Element of each atom type.
    boundary
        Arguments of the command ``boundary``.
    models
        Compiled models; several form a committee.
    fixed
        Atom IDs that do not move.
    is_tilted
        Whether the box of the structure has tilts.
    keywords
        Keywords of the pair style.
    masses
        Masses in amu by element, of isotopes.
    """
    masses_of_types = [f"{elements.index(symbol) + 1} {mass:.10g}" for symbol, mass in (masses or {}).items()]
    parts = [
        _head(title, settings, models),
        _structure(settings, boundary, fixed, masses_of_types),
        _model(elements, models, keywords),
        _output(settings, elements, len(models) > 1, _has_kinetic(settings, fixed)),
        _blocks(settings, _has_kinetic(settings, fixed), is_read_again=is_tilted or settings.ensemble == "npt"),
    ]
    file.write_text("\n".join(parts))


def _head(title: str, settings: DynamicsSettings, models: Sequence[Path]) -> str:
    quoted = " ".join(f"'{model}'" if " " in str(model) else str(model) for model in models)
    return f"""\
# {title}
#
#   mpiexec -n 2 lmp -in {SCRIPT}
#   mpiexec -n 2 lmp -in {SCRIPT} -var restart {restart_file("STEP")}      # continue
#
# Written by mlip-lammps md, which also removes output after STEP before it continues.

variable        models index "{quoted}"
variable        end index {settings.n_steps}
variable        block index {settings.restart_every}

label           begin
"""


def _structure(settings: DynamicsSettings, boundary: str, fixed: Sequence[int], masses_of_types: Sequence[str]) -> str:
    tilt = ' "change_box all triclinic"' if settings.has_tilts else ""
    lines = [
        "units           metal",
        "atom_style      atomic",
        "atom_modify     map yes",
        f"boundary        {boundary}",
        f'if "$(is_defined(variable,restart))" then "read_restart ${{restart}}" else "read_data {START}"{tilt}',
        *(f"mass            {mass}" for mass in masses_of_types),
        # the last frame of the block before is that of this step
        "variable        first equal $(ternary(is_defined(variable,restart),step,-1))",
        "variable        is_repeat equal step==v_first",
        f"timestep        {settings.timestep_fs / 1000.0:.10g}",
        "neighbor        1.0 bin",
    ]
    if fixed:
        lines += group_commands("fixed", fixed)
        lines += ["group           mobile subtract all fixed", "velocity        fixed set 0 0 0"]
    else:
        lines += ["group           mobile union all"]
    velocities = f"velocity mobile create {settings.temperature:.10g} {settings.seed} dist gaussian"
    if _has_kinetic(settings, fixed):
        # LAMMPS subtracts three degrees of freedom, as for a momentum that is conserved
        lines += ["compute         kinetic mobile temp", "compute_modify  kinetic extra/dof 0"]
        velocities += f" mom {'no' if fixed else 'yes'} temp kinetic"
    else:
        velocities += " mom yes"
    lines += [f'if "!$(is_defined(variable,restart))" then "{velocities}"', ""]
    return "\n".join(lines)


def _model(elements: Sequence[str], models: Sequence[Path], keywords: str) -> str:
    colon = ": " if len(models) > 1 else ""
    return f"""\
pair_style      mlip/torch {keywords}
pair_coeff      * * ${{models}} {colon}{" ".join(elements)}
"""


def _has_kinetic(settings: DynamicsSettings, fixed: Sequence[int]) -> bool:
    """Return whether the temperature is that of ``compute kinetic``, as the run does not conserve the momentum."""
    return bool(fixed) or settings.is_langevin


def _output(settings: DynamicsSettings, elements: Sequence[str], is_committee: bool, has_kinetic: bool) -> str:
    columns = "step time temp pe ke etotal econserve press vol density lx ly lz xy xz yz pxx pyy pzz pxy pxz pyz"
    lines = []
    if is_committee:
        lines.append("compute         deviation all pair mlip/torch")
        columns += f" c_deviation[1] {DEVIATION} c_deviation[3]"
    lines += [
        f"thermo_style    custom {columns}",
        f"thermo_modify   {'temp kinetic ' if has_kinetic else ''}flush yes norm no format float %.15g",
        f"thermo          {settings.thermo_every}",
        "",
        *_dump("trajectory", settings.trajectory_every, TRAJECTORY, "id element xu yu zu vx vy vz", elements),
    ]
    if settings.velocities_every is not None:
        lines += _dump("velocities", settings.velocities_every, VELOCITIES, "id element vx vy vz", elements)
    if settings.label_above is not None:
        lines.append(f"variable        is_certain equal {DEVIATION}<={settings.label_above:.10g}||v_is_repeat")
        lines += _dump("uncertain", settings.thermo_every, LABELLING, "id element x y z", elements)
        lines.append("dump_modify     uncertain skip v_is_certain")
    if settings.stop_above is not None:
        lines.append(f"variable        largest equal {DEVIATION}")
        lines.append(
            f"fix             limit all halt {settings.thermo_every} v_largest > {settings.stop_above:.10g} "
            "error soft message yes"
        )
    return "\n".join([*lines, ""])


def _dump(name: str, every: int, file: str, columns: str, elements: Sequence[str]) -> list[str]:
    return [
        f"dump            {name} all custom {every} {file} {columns}",
        f"dump_modify     {name} append yes sort id element {' '.join(elements)} format float %.9g skip v_is_repeat",
    ]


def _blocks(settings: DynamicsSettings, has_kinetic: bool, is_read_again: bool) -> str:
    """Return the loop over blocks, with the integrator."""
    before, at_start, at_end = ("\n".join(lines) for lines in _integrator(settings, has_kinetic))
    next_block = '"jump SELF next_block"'
    if is_read_again:  # reading a file rounds the numbers of a moving or tilted box: each block must begin with that
        again = f"variable restart index {restart_file('$(step)')}"
        next_block = f'"variable restart delete" "{again}" "clear" "jump SELF begin"'
    if settings.stop_above is not None:  # fix halt compares after steps, but not before the first one
        first = ("run 0", f'if "$(v_largest) > {settings.stop_above:.10g}" then "jump SELF finish"')
        before = "\n".join([before, 'if "$(is_defined(variable,restart))" then "jump SELF next_block"', *first])
    keep = KEPT_RESTARTS
    return f"""\
{before}

label           next_block
variable        steps equal (floor(step/v_block)+1)*v_block-step
variable        steps equal $(ternary(v_steps<v_end-step,v_steps,v_end-step))
variable        goal equal $(step+v_steps)
variable        old equal $(v_goal-{keep}*v_block)
{at_start}
if "${{steps}} > 0" then "run ${{steps}} start 0 stop ${{end}}"
if "$(step) < ${{goal}}" then "jump SELF finish"
{at_end}
write_restart   {RESTARTS}/unfinished
shell           mv {RESTARTS}/unfinished {RESTARTS}/$(step).restart
shell           rm -f {RESTARTS}/${{old}}.restart
if "$(step) < ${{end}}" then {next_block}
label           finish
"""


def _integrator(settings: DynamicsSettings, has_kinetic: bool) -> tuple[list[str], list[str], list[str]]:
    """Return the commands before the blocks, those at the start of each block, and those after its steps.

    A stochastic thermostat has another seed in each block, and none of its state is in the restart file.
    """
    low, high = settings.temperature, settings.temperature_end or settings.temperature
    heat, box = f"{low:.10g} {high:.10g} {settings.thermostat_fs / 1000.0:.10g}", ""
    if settings.ensemble == "npt":
        start = settings.pressure_gpa
        end = start if settings.pressure_end_gpa is None else settings.pressure_end_gpa
        bar = f"{start * _BAR_PER_GPA:.10g} {end * _BAR_PER_GPA:.10g}"
        box = f" {settings.barostat} {bar} {settings.barostat_fs / 1000.0:.10g}"
    if settings.ensemble == "nve":
        return ["fix             move mobile nve"], [], []
    if settings.thermostat == "nose-hoover":
        move = [f"fix             move mobile {settings.ensemble} temp {heat}{box}"]
        return move + ["fix_modify      move temp kinetic"] * has_kinetic, [], []
    style = {"langevin": "langevin", "csvr": "temp/csvr"}[settings.thermostat]
    seeded = [
        f"variable        seed equal {settings.seed}+floor(step/v_block)",
        f"fix             heat mobile {style} {heat} $(v_seed)",
        *["fix_modify      heat temp kinetic"] * has_kinetic,
    ]
    return [f"fix             move mobile {'nph' if box else 'nve'}{box}"], seeded, ["unfix           heat"]
