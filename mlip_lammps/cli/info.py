"""``mlip-lammps info``: print what a model file contains, and whether this package supports it."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlip_lammps.cli import options

NAME = "info"
HELP = "print what a model file contains and whether the model is supported, without loading native code"


def configure(parser: argparse.ArgumentParser) -> None:
    options.add_model(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    import json

    from mlip_lammps.cli._console import print_rows
    from mlip_lammps.models import resolve_model

    facts = _describe(resolve_model(arguments.model))
    if arguments.json:
        print(json.dumps(facts, indent=1))
    else:
        print_rows(_rows(facts))
    return 0


def _rows(facts: dict[str, object]) -> list[tuple[str, str]]:
    """Return names and values; each entry of a list of tables has its own row."""
    rows = []
    for name, value in facts.items():
        if isinstance(value, list | tuple) and value and all(isinstance(entry, dict) for entry in value):
            line = _line_of_layer(facts) if name == "layers" else _text
            rows += [(f"{name.removesuffix('s')} {number}", line(entry)) for number, entry in enumerate(value, 1)]
        else:
            rows.append((name, _text(value)))
    return rows


def _line_of_layer(facts: dict[str, object]) -> Callable[[dict[str, Any]], str]:
    from mlip_lammps.families import family_named

    return getattr(family_named(str(facts.get("family"))), "line_of_layer", _text)


def _text(value: object, between: str = ", ") -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return between.join(f"{name} {_text(entry, '; ')}" for name, entry in value.items())
    if isinstance(value, list | tuple):
        has_parts = any(isinstance(entry, dict | list | tuple) for entry in value)
        return (between if has_parts else " ").join(_text(entry, "; ") for entry in value) or "none"
    return "none" if value is None else str(value)


def _describe(path: Path) -> dict[str, object]:
    """Return the metadata of a compiled file, or the facts of any other file and whether its model is supported."""
    from ase.data import chemical_symbols

    from mlip_lammps.core.errors import UserInputError
    from mlip_lammps.families import family_of, inspect_model, read_model
    from mlip_lammps.model_file.archive import is_archive, read_metadata
    from mlip_lammps.models import licence_of_source
    from mlip_lammps.models.installed import licence_of

    if is_archive(path):
        facts = {"form": "compiled", **read_metadata(path)}
        licence = licence_of_source(facts["source"]["sha256"])
        return facts if licence is None else facts | {"licence": licence}
    try:
        trained = read_model(path)
    except UserInputError as error:
        facts = {"supported": False, "reason": str(error), "file": str(path), **inspect_model(path)}
    else:
        form = getattr(family_of(trained), "form_of", lambda path: trained.family)(path)
        source = {"name": trained.source_name, "sha256": trained.source_sha256}
        facts = {"supported": True, "form": form, "family": trained.family, "source": source}
        if made_by := inspect_model(path).get("made_by"):
            facts["made_by"] = made_by
        if licence := licence_of(path) or licence_of_source(trained.source_sha256):
            facts["licence"] = licence
        facts |= trained.facts()
    if path.suffix == ".pt2":
        facts["remark"] = "not a compiled file, although its name ends in .pt2"
    if "atomic_numbers" in facts:
        facts["elements"] = [chemical_symbols[z] for z in facts["atomic_numbers"]]
    return facts
