"""``mlip-lammps info``: print what a model file contains, and whether this package supports it."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlip_lammps.cli import options

if TYPE_CHECKING:
    from rich.text import Text

NAME = "info"
HELP = "print what a model file contains and whether the model is supported, without loading native code"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    import json

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from mlip_lammps.models import resolve_model

    facts = _describe(resolve_model(arguments.model))
    if arguments.json:
        print(json.dumps(facts, indent=1))
        return 0
    table = Table(show_header=False, box=None)
    for name, value in facts.items():
        if name == "layers":
            for t, layer in enumerate(value, start=1):
                table.add_row(f"layer {t}", Text(_line_of_layer(layer)))
        else:
            table.add_row(name, _shown(value))
    Console(highlight=False, soft_wrap=True).print(table)
    return 0


def _shown(value: object) -> "str | Text":
    import json

    from rich.text import Text

    if isinstance(value, bool):
        return "yes" if value else "no"
    return Text(value if isinstance(value, str) else json.dumps(value))


def _line_of_layer(layer: dict[str, Any]) -> str:
    readout = layer["readout"]
    parts = [
        layer["interaction"],
        f"{layer['irreps_in']} to {layer['irreps_out']}",
        f"messages {layer['irreps_message']}",
        f"correlation {layer['correlation']}",
        f"radial MLP {'-'.join(map(str, layer['radial_widths']))}",
        f"{layer['avg_num_neighbors']:.4g} neighbours on average",
    ]
    if readout is None:
        parts.append("no readout")
    elif readout["kind"] == "linear":
        parts.append("linear readout")
    else:
        parts.append(f"readout {readout['irreps_hidden']} with gate {readout['activation']}")
    return ", ".join(parts)


def _describe(path: Path) -> dict[str, object]:
    """Return the metadata of a compiled file, or the facts of any other file and whether its model is supported."""
    from ase.data import chemical_symbols

    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.families import inspect_model, read_model
    from mlip_lammps.model_file.archive import is_archive, read_metadata

    if is_archive(path):
        return {"form": "compiled", **read_metadata(path)}
    try:
        trained = read_model(path)
    except UserInputError as error:
        facts = {"supported": False, "reason": str(error), "file": str(path), **inspect_model(path)}
    else:
        form = "portable" if path.suffix == ".safetensors" else "mace-torch"
        source = {"name": trained.source_name, "sha256": trained.source_sha256}
        facts = {"supported": True, "form": form, "family": trained.family, "source": source}
        if made_by := inspect_model(path).get("made_by"):
            facts["made_by"] = made_by
        facts |= trained.facts()
    if "atomic_numbers" in facts:
        facts["elements"] = [chemical_symbols[z] for z in facts["atomic_numbers"]]
    return facts
