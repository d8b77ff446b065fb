"""``mlip-lammps export``: compile a trained model for this machine."""

import argparse

from mlip_lammps.cli import options

NAME = "export"
HELP = "compile a trained MACE model into the file that LAMMPS and ASE run"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser, options.TRAINED_MODEL)
    options.add_output(parser, "compiled file to write; its name must end in .pt2")
    parser.add_argument(
        "--elements",
        metavar="SYMBOLS",
        help="elements to keep, separated by commas, for example H,O (default: all elements of the model)",
    )
    options.add_head(parser)
    options.add_dtype(parser)
    parser.add_argument(
        "--radial",
        choices=("table", "exact"),
        default="table",
        help="radial functions: tables with a stated error, or the trained network on every edge, 2 to 6 times as slow "
        "(default: table)",
    )
    parser.add_argument(
        "--min-distance",
        metavar="ANGSTROM",
        help="LAMMPS warns about atoms closer than this: one distance for all pairs (0.8), or one per pair "
        "(H-H=0.6,H-O=0.7); default: 0.6 times the sum of the covalent radii",
    )
    options.add_device(parser)


def run(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from mlip_lammps.compilation import export_model
    from mlip_lammps.models import resolve_model
    from mlip_lammps.structure.min_distances import read_min_distances

    elements = arguments.elements.replace(",", " ").split() if arguments.elements is not None else None
    console = Console(highlight=False)
    with console.status("starting") as status:

        def progress(line: str) -> None:
            console.print(line)
            status.update("compiling: about a minute" if "reading" in line else line)

        report = export_model(
            resolve_model(arguments.model),
            arguments.output,
            dtype=arguments.dtype,
            device=arguments.device,
            radial=arguments.radial,
            elements=elements,
            head=arguments.head,
            smallest=read_min_distances(arguments.min_distance) if arguments.min_distance is not None else None,
            progress=progress,
        )
    table = Table(show_header=False, box=None)
    table.add_row("file", f"{report.path} ({report.file_bytes / 1e6:.1f} MB)")
    table.add_row("elements", " ".join(report.metadata["elements"]))
    table.add_row("compile time", f"{report.compile_seconds:.0f} s")
    table.add_row(
        "error vs reference",
        f"{report.differences.energy_per_atom_ev:.1e} eV per atom, "
        f"{report.differences.gradient_ev_per_angstrom:.1e} eV/angstrom",
    )
    by_tables = report.differences.table_force_ev_per_angstrom
    table.add_row(
        "radial functions",
        "the trained network" if by_tables is None else f"tables; they change forces by {by_tables:.1e} eV/angstrom",
    )
    console.print(table)
    console.print(
        f"In LAMMPS:  pair_style mlip/torch\n            pair_coeff * * {report.path} "
        f"{' '.join(report.metadata['elements'])}    # one element per atom type"
    )
    return 0
