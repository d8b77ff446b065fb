"""``mlip-lammps export``: compile a trained model for this machine."""

import argparse
import shlex

from mlip_lammps.cli import options

NAME = "export"
HELP = "compile a trained model into the file that LAMMPS and ASE run"


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
    from mlip_lammps.cli._console import open_console, print_rows
    from mlip_lammps.compilation import export_model
    from mlip_lammps.engines.lammps.process import input_word
    from mlip_lammps.families import family_named
    from mlip_lammps.models import resolve_model
    from mlip_lammps.structure.min_distances import read_min_distances

    elements = arguments.elements.replace(",", " ").split() if arguments.elements is not None else None
    console = open_console()
    with console.status("starting") as status:

        def progress(line: str) -> None:
            console.print(line, markup=False)
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
    found = report.differences
    rows = [
        ("file", f"{report.path} ({report.file_bytes / 1e6:.1f} MB)"),
        ("elements", " ".join(report.metadata["elements"])),
        ("compile time", f"{report.compile_seconds:.0f} s"),
        (
            "error vs reference",
            f"{found.energy_per_atom_ev:.1e} eV per atom, {found.gradient_ev_per_angstrom:.1e} eV/angstrom",
        ),
    ]
    exact_radial = getattr(family_named(report.metadata["family"]), "exact_radial", None)
    if found.table_force_ev_per_angstrom is not None:
        by_tables = f"tables; they change forces by {found.table_force_ev_per_angstrom:.1e} eV/angstrom"
        rows.append(("radial functions", by_tables))
    elif exact_radial is not None:
        rows.append(("radial functions", exact_radial))
    if remark := report.metadata.get("remark"):
        rows.append(("remark", remark))
    print_rows(rows, console)
    in_variable = not str(report.path).isascii()
    word = "${model}" if in_variable else input_word(report.path)
    console.print(
        f"In LAMMPS:  pair_style mlip/torch\n            pair_coeff * * {word} "
        f"{' '.join(report.metadata['elements'])}    # one element per atom type",
        markup=False,
    )
    if in_variable:  # LAMMPS removes non-ASCII characters from input lines
        console.print(f"Start it as lmp -var model {shlex.quote(str(report.path))} -in FILE", markup=False)
    return 0
