"""``mlip-lammps info``: print the metadata of a model file."""

import argparse
from pathlib import Path

from mlip_lammps.cli import options

NAME = "info"
HELP = "print the metadata of a model file without loading native code"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    import json

    from rich.console import Console
    from rich.table import Table

    from mlip_lammps.models import resolve_model

    facts = _describe(resolve_model(arguments.model))
    if arguments.json:
        print(json.dumps(facts, indent=1))
        return 0
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        table.add_row(name, value if isinstance(value, str) else json.dumps(value))
    Console(highlight=False, soft_wrap=True).print(table)
    return 0


def _describe(path: Path) -> dict[str, object]:
    """Return the metadata of a compiled, portable or mace-torch file."""
    from mlip_lammps.families import read_model
    from mlip_lammps.model_file.archive import is_archive, read_metadata

    if is_archive(path):
        return {"form": "compiled", **read_metadata(path)}
    trained = read_model(path)
    form = "portable" if path.suffix == ".safetensors" else "mace-torch"
    source = {"name": trained.source_name, "sha256": trained.source_sha256}
    return {"form": form, "family": trained.family, "source": source, **trained.facts()}
