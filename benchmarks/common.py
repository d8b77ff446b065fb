"""Common parts of the benchmarks: models, measuring processes, machine record and tables."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from ase import Atoms
from ase.data import chemical_symbols

from benchmarks.cases import Case
from benchmarks.structures import ROOT, structure, typical
from mlip_lammps.families import read_model
from mlip_lammps.models import resolve_model

PEER_PYTHON = Path(os.environ.get("MLIP_LAMMPS_MACE_PYTHON", ROOT / ".venv-mace/bin/python"))


def model_file(case: Case, folder: Path) -> Path:
    """Return the shipped model, or a model with random weights from mace-torch."""
    if isinstance(case.model, str):
        return resolve_model(case.model)
    options, path = folder / f"{case.name}.json", folder / f"{case.name}.model"
    if not path.is_file() or json.loads(options.read_text()) != case.model:
        options.write_text(json.dumps(case.model))
        command = [str(PEER_PYTHON), str(ROOT / "benchmarks/peer.py"), "make", str(options), str(path)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    read_model(path)
    return path


def structure_of(case: Case, source: Path) -> Atoms:
    """Return the structure of a case, by default one typical of the model's elements."""
    if case.structure:
        return structure(case.structure, case.repeats)
    return typical([chemical_symbols[z] for z in read_model(source).spec.atomic_numbers], case.repeats)


def run(command: Sequence[str], environment: dict[str, str]) -> dict:
    """Run a measuring process and return its results."""
    done = subprocess.run(command, env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


def machine() -> dict[str, object]:
    """Return the properties of the machine and software that the results depend on."""
    cpuinfo = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "lammps": version("lammps"),
        "mlip-lammps": version("mlip-lammps"),
        "python": platform.python_version(),
    }


def load_average() -> str:
    """Return the load average of the last minute as text."""
    return f"{os.getloadavg()[0]:.2f}"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table with a left-aligned first column."""
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
