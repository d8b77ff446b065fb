"""A run folder as one HTML page that needs no other file and no network."""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from html import escape
from math import floor, log10
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.workflows.reports.citations import bibtex, methods_of
from mlip_lammps.workflows.run_folder import RESULTS, read_record

MOST_STRUCTURES = 24
MOST_ATOMS = 2000
_MOST_FRAMES = 40
_LONGEST_LIST = 12
_FILES = Path(__file__).parent
_VIEWER = _FILES / "third_party" / "3dmol"


def write_report(folder: Path, output: Path | None = None) -> Path:
    """Write a run folder as one HTML page and return its path.

    The page contains settings, results, plots, structures that turn in the browser, a methods paragraph and BibTeX.

    Parameters
    ----------
    folder
        Folder of a run.
    output
        File to write; ``report.html`` in the folder if None.

    Raises
    ------
    UserInputError
        If the folder has no record or no results, or they are damaged.
    """
    record = read_record(folder)
    file = folder / RESULTS
    if not file.is_file():
        raise UserInputError(
            f"{folder} has a record, but no {RESULTS}: the run is {record.get('status', 'unfinished')}; repeat it with "
            f"mlip-lammps {record['command']} --config {folder / 'run.json'}"
        )
    try:
        results = json.loads(file.read_text())
    except ValueError as error:
        raise UserInputError(f"{file} is damaged ({error}); repeat the run") from error
    output = output or folder / "report.html"
    output.write_text(_page(folder, record, results), encoding="utf-8")
    return output


def _page(folder: Path, record: Mapping[str, Any], results: Any) -> str:
    methods, keys = methods_of(record)
    command, status = escape(record["command"]), escape(str(record.get("status")))
    parts = [
        f"<p>{escape(record.get('started', ''))}, {record.get('seconds', 0):.1f} s, {status}</p>",
        *_plots(folder),
        _structures(folder),
        "<h2>Results</h2>",
        "<p>Where no unit is given: eV, Å, eV/Å for forces, eV/Å³ for stresses, K.</p>",
        _value(results),
        "<h2>Settings</h2>",
        _value({name: value for name, value in record["settings"].items() if value is not None}),
        "<h2>Inputs</h2>",
        _value(record.get("inputs", {})),
        "<h2>Versions</h2>",
        _value(record.get("versions", {})),
        f"<h2>Methods</h2><p>{escape(methods)}</p><pre>{escape(bibtex(keys))}</pre>",
    ]
    settings = record["settings"]
    models = [settings["model"]] if settings.get("model") else settings.get("models", [])
    title = f"{command}: {escape(', '.join(Path(str(model)).name for model in models))}"
    body = "\n".join(parts)
    style = (_FILES / "page.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{style}</style></head>"
        f"<body><h1>{title}</h1>{body}</body></html>\n"
    )


def _value(value: Any, level: int = 3) -> str:
    """Return any result as tables: numbers in rows, lists of numbers short or as a range, the rest below headings."""
    if isinstance(value, Mapping):
        plain = {name: item for name, item in value.items() if not _is_nested(item)}
        cells = [f"<th>{escape(_words(name))}</th><td>{_cell(item)}</td>" for name, item in plain.items()]
        rows = "".join(f"<tr>{cell}</tr>" for cell in cells)
        table = f"<table>{rows}</table>" if rows else ""
        nested = "".join(
            f"<h{level}>{escape(_words(name))}</h{level}>{_value(item, min(level + 1, 6))}"
            for name, item in value.items()
            if _is_nested(item) and item
        )
        return table + nested
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        columns = [name for name in value[0] if not any(_is_nested(item.get(name)) for item in value)]
        head = "".join(f"<th>{escape(_words(name))}</th>" for name in columns)
        rows = "".join("<tr>" + "".join(f"<td>{_cell(row.get(c))}</td>" for c in columns) + "</tr>" for row in value)
        return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'
    if isinstance(value, list):  # a matrix
        rows = "".join("<tr>" + "".join(f"<td>{_cell(item)}</td>" for item in row) + "</tr>" for row in value)
        return f'<div class="scroll"><table>{rows}</table></div>'
    return _cell(value)


def _is_nested(value: Any) -> bool:
    """Return whether a value needs a table of its own."""
    if isinstance(value, Mapping):
        return not _is_average(value)
    if not isinstance(value, list) or not value:
        return False
    is_small = len(value) <= _LONGEST_LIST and all(isinstance(row, list) and len(row) <= _LONGEST_LIST for row in value)
    return any(isinstance(item, Mapping) for item in value) or (
        is_small and all(not isinstance(item, list) for row in value for item in row)
    )


def _is_average(value: Mapping[str, Any]) -> bool:
    return set(value) == {"mean", "error"}


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        mean, error = value["mean"], value["error"]
        if not error:
            return _cell(mean)
        n_digits = max(0, 1 - floor(log10(error)))  # two digits of the error
        return f"{mean:.{n_digits}f} ± {error:.{n_digits}f}"
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        flat = np.array([item for item in _flat(value) if isinstance(item, int | float)], dtype=float)
        if len(flat) <= _LONGEST_LIST or len(flat) == 0:
            return ", ".join(_cell(item) for item in _flat(value)) or "-"
        return f"{len(flat)} values from {flat.min():.6g} to {flat.max():.6g}"
    return escape(str(value))


def _flat(value: Any) -> list:
    return [item for part in value for item in _flat(part)] if isinstance(value, list) else [value]


def _words(name: str) -> str:
    """Return the name of a field as words with its unit."""
    units = {"_gpa": " (GPa)", "_thz": " (THz)",
             "_ps": " (ps)", "_j_per_m2": " (J/m²)", "_cm": " (1/cm)", "_kj_per_mol": " (kJ/mol)",
             "_j_per_k_mol": " (J/K/mol)", "_per_atom": " (eV per atom)", "_n_per_m": " (N/m)"}  # fmt: skip
    for ending, unit in units.items():
        if name.endswith(ending):
            return name.removesuffix(ending).replace("_", " ") + unit
    return name.replace("_", " ")


def _of_this_run(folder: Path, pattern: str) -> list[Path]:
    """Return the files written since the run started; an earlier run may have left others."""
    started = datetime.fromisoformat(read_record(folder)["started"]).timestamp()
    return sorted(file for file in folder.glob(pattern) if file.stat().st_mtime >= started)


def _plots(folder: Path) -> list[str]:
    found = []
    for file in _of_this_run(folder, "*.png"):
        data = base64.b64encode(file.read_bytes()).decode()
        found.append(f'<p><img alt="{escape(file.stem)}" src="data:image/png;base64,{data}"></p>')
    return ["<h2>Plots</h2>", *found] if found else []


def _structures(folder: Path) -> str:
    shown: list[dict[str, Any]] = []
    captions, left_out = [], []
    for file in _of_this_run(folder, "*.extxyz"):
        frames = ase.io.read(file, index=":", format="extxyz")
        frames = frames[:: -(-len(frames) // _MOST_FRAMES)]
        if len(frames[0]) * len(frames) > MOST_ATOMS * _MOST_FRAMES or len(frames[0]) > MOST_ATOMS:
            left_out.append(file.name)
            continue
        if len(shown) == MOST_STRUCTURES:
            left_out.append(file.name)
            continue
        is_path = len({len(frame) for frame in frames}) == 1
        frames = frames if is_path else frames[-1:]
        shown.append({"xyz": "".join(map(_xyz, frames)), "frames": len(frames), "edges": _edges(frames[0])})
        captions.append(f"{file.name}, {frames[0].get_chemical_formula()}")
    if not shown:
        return ""
    boxes = "".join(
        f'<figure><div class="viewer" id="viewer{k}"></div><figcaption>{escape(caption)}</figcaption></figure>'
        for k, caption in enumerate(captions)
    )
    rest = f"<p>Not shown: {escape(', '.join(left_out))}</p>" if left_out else ""
    # "</" would end the element
    data = json.dumps(shown).replace("</", "<\\/")
    viewer = (_VIEWER / "3Dmol-min.js").read_text(encoding="utf-8").replace("</script", "<\\/script")
    script = (_FILES / "viewer.js").read_text(encoding="utf-8")
    licence = (_VIEWER / "LICENSE").read_text(encoding="utf-8").replace("--", "- -")
    return (
        f'<h2>Structures</h2><div class="structures">{boxes}</div>{rest}<!-- {licence} --><script>{viewer}</script>'
        f'<script type="application/json" id="structures">{data}</script><script>{script}</script>'
    )


def _xyz(atoms: Atoms) -> str:
    lines = [f"{s} {x:.4f} {y:.4f} {z:.4f}" for s, (x, y, z) in zip(atoms.symbols, atoms.positions, strict=True)]
    return f"{len(atoms)}\n\n" + "\n".join(lines) + "\n"


def _edges(atoms: Atoms) -> list[list[dict[str, float]]]:
    """Return the edges of the cell."""
    if atoms.cell.rank < 3:
        return []
    corners = [np.array(c) for c in np.ndindex(2, 2, 2)]
    found = []
    for one in corners:
        for k in np.flatnonzero(one == 0):
            other = one.copy()
            other[k] = 1
            ends = (one @ atoms.cell[:], other @ atoms.cell[:])
            found.append([dict(zip("xyz", map(float, end.round(4)), strict=True)) for end in ends])
    return found
