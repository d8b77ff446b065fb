"""``mlip-lammps neb``: minimum energy path and barrier between two minima."""

import argparse

from mlip_lammps.cli import options
from mlip_lammps.workflows.settings import INDEX

NAME = "neb"
HELP = "find the minimum energy path and the barrier between two structures"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME, "FIRST LAST", has_tasks=False)
    parser.add_argument(
        "--images",
        type=options.number("n_images"),
        default=7,
        metavar="N",
        help="images between the ends (default: 7)",
    )
    parser.add_argument(
        "--spring",
        type=options.number("spring"),
        default=0.1,
        metavar="K",
        help="force constant of the springs, eV/angstrom^2 (default: 0.1)",
    )
    parser.add_argument(
        "--engine",
        choices=("ase", "lammps"),
        default="ase",
        help="ase: images side by side on the ranks; lammps: its command neb, each image and each end on all ranks, "
        "so that (images + 2) x ranks processes run (default: ase)",
    )
    options.add_relaxation(parser, 0.02, 500)
    parser.add_argument("--no-climb", action="store_true", help="do not move the highest image to the saddle")
    options.add_no_relax(parser)
    parser.add_argument(
        "--moving",
        type=options.number(INDEX),
        nargs="+",
        metavar="INDEX",
        help="atoms that move in the vibrations of the saddle, counted from 0 (default: all that are not fixed)",
    )
    parser.add_argument("--no-saddle-check", action="store_true", help="do not compute the vibrations of the saddle")


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.analysis.surface_plots import plot_path
    from mlip_lammps.cli._run import open_run
    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.workflows.reactions.paths import reaction_path

    with open_run(arguments, NAME) as run:
        ends = list(run.structures.values())
        if len(ends) != 2:
            raise UserInputError(f"the files contain {len(ends)} structures, expected two: the ends of the path")
        found = reaction_path(
            *ends,
            run.calculator,
            n_images=arguments.images,
            **options.relaxation_of(arguments),
            spring=arguments.spring,
            climbs=not arguments.no_climb,
            relaxes_ends=not arguments.no_relax,
            moving=arguments.moving,
            checks_saddle=not arguments.no_saddle_check,
            engine=arguments.engine,
            tasks=run.tasks,
        )
        run.folder.write_results(found)
        run.folder.write_structures("path", found.images)
        run.folder.write_structures("saddle", found.images[found.saddle])
        plot_path(run.folder.path / "path.png", found.places, found.energies, found.curve)
        rows = [
            (f"{k}{' saddle' if k == found.saddle else ''}", f"{place:.3f}", f"{energy:.4f}")
            for k, (place, energy) in enumerate(zip(found.places, found.energies, strict=True))
        ]
        run.show_table(("image", "path, Å", "energy, eV"), rows)
        facts = {
            "barrier": f"{found.barrier:.4f} eV forward, {found.reverse_barrier:.4f} eV backward",
            "reaction energy": f"{found.reaction_energy:.4f} eV",
            "band": f"{found.n_steps} steps, largest force {found.largest_force:.3g} eV/Å",
        }
        if found.saddle_modes is not None:
            lowest = found.saddle_modes.frequencies_cm[0]
            count = found.saddle_modes.n_imaginary
            verdict = "a saddle" if found.is_saddle else "not a saddle of first order"
            facts["check"] = f"{count} imaginary modes, lowest {lowest:.1f} 1/cm: {verdict}"
            run.folder.write_structures("saddle-mode", found.saddle_modes.mode_frames(0))
        elif found.saddle in (0, len(ends) - 1 + arguments.images):
            facts["check"] = "the highest image is an end: there is no barrier between them"
        run.show_facts(facts)
    return 0
