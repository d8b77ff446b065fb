"""``mlip-lammps report``: a run folder as one HTML page."""

import argparse
from pathlib import Path

NAME = "report"
HELP = "write a run folder as one HTML page with results, plots, structures, a methods paragraph and BibTeX"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder of a run (--out of its command)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="file to write (default: report.html in the folder)"
    )


def run(arguments: argparse.Namespace) -> int:
    from mlip_lammps.workflows.reports.page import write_report

    print(write_report(arguments.folder, arguments.output))
    return 0
