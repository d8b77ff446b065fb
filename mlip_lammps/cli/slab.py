"""``mlip-lammps slab``: slabs of a crystal and their surface energies."""

import argparse

from mlip_lammps.cli import options
from mlip_lammps.core.arguments import COUNT
from mlip_lammps.workflows.settings import MILLER_INDEX

NAME = "slab"
HELP = "cut slabs from a crystal, for all terminations, and compute surface energies"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_run(parser, NAME, "BULK")
    parser.add_argument(
        "--miller",
        type=options.number(MILLER_INDEX),
        nargs=3,
        action=options.Repeated,
        default=[[1, 1, 1]],
        metavar=("H", "K", "L"),
        help="Miller indices of the conventional cell; repeat the option for several surfaces (default: 1 1 1)",
    )
    parser.add_argument(
        "--layers",
        type=options.number("n_layers"),
        nargs="+",
        metavar="N",
        help="thicknesses in primitive repeat units, two or more (default: four, from about twice the cutoff)",
    )
    parser.add_argument(
        "--vacuum",
        type=options.number("vacuum"),
        default=15.0,
        metavar="ANGSTROM",
        help="distance of periodic images (default: 15)",
    )
    parser.add_argument(
        "--supercell",
        type=options.number(COUNT),
        nargs=2,
        default=[1, 1],
        metavar=("NA", "NB"),
        help="repeats in the plane (default: 1 1)",
    )
    parser.add_argument(
        "--fix",
        type=options.number("fixed_layers"),
        default=0,
        metavar="N",
        help="number of fixed repeat units at the bottom (default: 0)",
    )
    options.add_relaxation(parser, 5e-3)
    options.add_no_relax(parser)


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.analysis.surface_plots import plot_thickness
    from mlip_lammps.cli._run import open_run
    from mlip_lammps.workflows.run_folder import as_table
    from mlip_lammps.workflows.surfaces.slabs import surface_energies

    with open_run(arguments, NAME) as run:
        relaxing = options.relaxation_of(arguments)
        tight = {**relaxing, "force_tolerance": min(1e-4, arguments.force_tolerance)}
        crystal = run.single() if arguments.no_relax else run.relaxed_crystal(**tight)
        found = []
        for miller in dict.fromkeys(map(tuple, arguments.miller)):
            found += surface_energies(
                crystal,
                run.calculator,
                miller,
                layers=arguments.layers,
                vacuum=arguments.vacuum,
                supercell=arguments.supercell,
                fixed_layers=arguments.fix,
                **relaxing,
                tasks=run.tasks,
            )
        rows, curves = [], {}
        for one in found:
            name = f"{''.join(map(str, one.miller))}-{one.termination}"
            run.folder.write_structures(f"slab-{name}", one.slabs)
            curves[f"({''.join(map(str, one.miller))}) {one.top}"] = (one.n_atoms, one.with_bulk_j_per_m2)
            error = "" if one.error_j_per_m2 is None else f" ± {one.error_j_per_m2:.4f}"
            rows.append((
                f"({' '.join(map(str, one.miller))}) {one.termination}", one.top, one.bottom,
                " ".join(map(str, one.layers)), f"{one.surface_energy_j_per_m2:.4f}{error}",
                f"{one.change_j_per_m2:.4f}", f"{1e3 * one.bulk_difference_per_atom:.3f}",
            ))  # fmt: skip
        run.folder.write_results({"surfaces": [as_table(one) for one in found]})
        plot_thickness(run.folder.path / "thickness.png", curves)
        columns = ("surface", "top", "bottom", "layers", "energy, J/m²", "last change", "slope, meV/atom")
        run.show_table(columns, rows)
        run.console.print(
            "energy: line through all slabs; last change: of the thickest slab with the bulk energy; slope: of the "
            "line less the bulk energy"
        )
        if arguments.fix:
            run.console.print("the bottom is fixed: both sides count as relaxed like the top")
    return 0
