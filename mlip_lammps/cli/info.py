"""``mlip-lammps info``: what a model file says of itself."""

import argparse
from pathlib import Path

NAME = "info"
HELP = "print the metadata of a model file: of mace-torch, portable or compiled; loads no native code"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="model file, or name of a shipped model")
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
    """Return the facts of a file in the form that it has."""
    from dataclasses import asdict

    from mlip_lammps.checkpoint import read_model
    from mlip_lammps.export.archive import is_archive, read_metadata

    if is_archive(path):
        return {"form": "compiled", **read_metadata(path)}
    trained = read_model(path)
    form = "portable" if path.suffix == ".safetensors" else "mace-torch"
    source = {"name": trained.source_name, "sha256": trained.source_sha256}
    n_weights = sum(array.size for name, array in trained.weights.items() if "U_matrix" not in name)
    return {"form": form, "source": source, "n_weights": n_weights, **asdict(trained.spec)}
