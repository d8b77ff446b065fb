"""``mlip-lammps relax``: relax atoms and cells."""

import argparse
from typing import TYPE_CHECKING

from mlip_lammps.cli import options
from mlip_lammps.workflows.settings import STRAIN_SWITCH

if TYPE_CHECKING:
    from mlip_lammps.cli._run import Run
    from mlip_lammps.workflows.relaxation import Relaxation

NAME = "relax"
HELP = "relax the atoms, and optionally the cell, of one or more structures"
_COLUMNS = (
    "structure", "energy, eV", "gain, meV/atom", "steps", "force, eV/Å", "stress, GPa", "volume, Å³", "space group",
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME)
    options.add_cell(parser, "fixed")
    parser.add_argument(
        "--pressure",
        type=options.number("pressure_gpa"),
        default=0.0,
        metavar="GPA",
        help="target pressure of a moving cell, GPa (default: 0)",
    )
    parser.add_argument(
        "--mask",
        type=options.number(STRAIN_SWITCH),
        nargs=6,
        metavar=("XX", "YY", "ZZ", "YZ", "XZ", "XY"),
        help="strains of a free cell that may change, 1 or 0 each (default: all)",
    )
    parser.add_argument("--keep-symmetry", action="store_true", help="keep the space group of each structure")
    parser.add_argument(
        "--engine",
        choices=("ase", "lammps"),
        default="ase",
        help="ase: structures side by side on the ranks; lammps: minimize, one structure after another, each on all "
        "ranks (default: ase)",
    )
    options.add_relaxation(parser, 1e-3)


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.cli._run import open_run
    from mlip_lammps.core.errors import MlipError
    from mlip_lammps.workflows.relaxation import Relaxation
    from mlip_lammps.workflows.run_folder import with_results

    with open_run(arguments, NAME) as run:
        found = (_relax_in_lammps if arguments.engine == "lammps" else _relax_in_ase)(run, arguments)
        run.folder.write_results({n: r if isinstance(r, Relaxation) else {"error": str(r)} for n, r in found.items()})
        done = {name: result for name, result in found.items() if isinstance(result, Relaxation)}
        for name, r in done.items():
            relaxed = with_results(r.atoms, energy=r.energy, forces=r.forces, stress=r.stress)
            run.folder.write_structures(name, relaxed)
        run.show_table(_COLUMNS, [_row(name, r) for name, r in done.items()])
        failed = {name: error for name, error in found.items() if name not in done}
        for name, error in failed.items():
            run.console.print(f"{name}: {error}", style="bold red", markup=False)
        if failed:
            raise MlipError(f"{len(failed)} of {len(found)} structures did not relax; see above")
    return 0


def _row(name: str, r: "Relaxation") -> tuple[object, ...]:
    stress = "" if r.residual_stress_gpa is None else f"{r.residual_stress_gpa:.1e}"
    volume = f"{r.atoms.cell.volume:.3f}" if r.atoms.cell.rank == 3 else ""
    gain = 1e3 * (r.energy - r.energy_before) / len(r.atoms)
    force = f"{r.largest_force:.1e}"
    return name, f"{r.energy:.6f}", f"{gain:.2f}", r.n_steps, force, stress, volume, r.space_group or ""


def _relax_in_ase(run: "Run", arguments: argparse.Namespace) -> dict:
    from mlip_lammps.workflows.relaxation import relax_all

    return relax_all(
        run.structures,
        run.calculator,
        tasks=run.tasks,
        cell=arguments.cell,
        pressure_gpa=arguments.pressure,
        mask=None if arguments.mask is None else [bool(m) for m in arguments.mask],
        keeps_symmetry=arguments.keep_symmetry,
        **options.relaxation_of(arguments),
    )


def _relax_in_lammps(run: "Run", arguments: argparse.Namespace) -> dict:
    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.workflows.lammps_minimizer import minimize_all

    if arguments.mask or arguments.keep_symmetry or arguments.optimizer == "bfgs" or arguments.cell == "shape":
        raise UserInputError(
            "--engine lammps supports no --mask, --keep-symmetry, --optimizer bfgs or --cell shape; leave them out, or "
            "use --engine ase"
        )
    return minimize_all(
        run.structures,
        run.calculator,
        tasks=run.tasks,
        n_ranks=arguments.ranks,
        cell=arguments.cell,
        pressure_gpa=arguments.pressure,
        style="fire" if arguments.optimizer == "fire" else "cg",
        force_tolerance=arguments.force_tolerance,
        max_steps=arguments.max_steps,
    )
