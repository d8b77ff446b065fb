"""Comparison with mace-torch on the same GPU, eager and with cuEquivariance."""

import json
import os
import subprocess
import sys
from pathlib import Path

import ase.io

from benchmarks.gpu_models import Context, box
from benchmarks.structures import ROOT

_KINDS = ((False, "float64"), (False, "float32"), (True, "float32"), (True, "float64"))
_SIZES = (6, 8, 11, 14, 16, 23)
_QUICK_SIZES = (6, 11)
_SECONDS = 60.0
"""Time limit in s of one process, which times a model in one precision for all sizes that fit."""
HEADING = "mace-torch on the same card"
NOTE = """Energy and forces of the same silicon boxes with the same weights. mace-torch: its model with a prepared
neighbour list, and its ASE calculator, which builds the list in each call and also computes the stress. Package: a
whole LAMMPS step from the table above, in mixed precision for comparison with float32, with the next larger size if
this one was not run. Sizes grow until the GPU memory or the time limit is exhausted."""
HEADINGS = (
    "model", "mace-torch", "atoms", "M atom-steps/s, model", "with its list", "memory, GB", "package, M atom-steps/s",
    "ratio to the model", "note",
)  # fmt: skip


def peer_command() -> tuple[list[str], dict[str, str]] | None:
    """Return an interpreter that may have mace-torch and its environment, or None if there is none."""
    environment = dict(os.environ, TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD="1")
    if path := os.environ.get("MLIP_LAMMPS_MACE_PYTHONPATH"):
        return [sys.executable], environment | {"PYTHONPATH": path}
    python = Path(os.environ.get("MLIP_LAMMPS_MACE_PYTHON", ROOT / ".venv-mace/bin/python"))
    return ([str(python)], environment) if python.is_file() else None


def measure_peer(context: Context) -> None:
    """Time mace-torch with the models that it can read, within the time limit."""
    report = context.report
    command = peer_command()
    if command is None:
        report.put(HEADING, "Left out: no interpreter with mace-torch; name one in MLIP_LAMMPS_MACE_PYTHON.", None)
        return
    names = [name for name in ("medium", "small") if f"mace-{name}" in context.sources]
    if not names:
        report.put(HEADING, "Left out: .models/small.model and .models/medium.model are not here.", None)
        return
    table = report.table(HEADING, HEADINGS, NOTE)
    sizes = _QUICK_SIZES if context.is_quick else _SIZES
    if context.is_emulated:
        sizes = (1, 2)
    for repeats in sizes:
        ase.io.write(context.scratch / f"silicon-{repeats}.extxyz", box("silicon", repeats))
    for name in names:
        for has_cueq, dtype in _KINDS:
            kind = f"{'cuEquivariance' if has_cueq else 'eager'}, {dtype}"
            if context.seconds_left < 25.0:
                report.leave_out(f"mace-torch {name}, {kind}", "no time left")
                continue
            rows = report.attempt(
                f"mace-torch {name}, {kind}",
                lambda args=(name, has_cueq, dtype, sizes): _time(context, command, *args),
            )
            for row in rows or []:
                _add(context, table, name, kind, dtype, row)


def _time(context: Context, command, name: str, has_cueq: bool, dtype: str, sizes) -> list[dict]:
    interpreter, environment = command
    structures = [str(context.scratch / f"silicon-{repeats}.extxyz") for repeats in sizes]
    worker = [str(ROOT / "benchmarks/gpu_peer_worker.py"), str(context.sources[f"mace-{name}"])]
    limit = max(10.0, min(_SECONDS, context.seconds_left - 10.0))
    options = ["cpu" if context.is_emulated else "cuda", dtype, "cueq" if has_cueq else "eager", f"{limit - 8:.0f}"]
    process = subprocess.Popen(
        [*interpreter, *worker, *options, *structures],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
    rows = [json.loads(line.removeprefix("RESULT ")) for line in output.splitlines() if line.startswith("RESULT ")]
    if not rows:
        raise RuntimeError(f"mace-torch gave no times: {output[-2500:]}")
    return rows


def _add(context: Context, table, name: str, kind: str, dtype: str, row: dict) -> None:
    numbers = {"model": name, "kind": kind, **row}
    size = f"{row['n_atoms']:,}" if "n_atoms" in row else ""
    if "stopped" in row:
        table.add((f"mace-{name}", kind, size, "", "", "", "", "", row["stopped"][:160]), numbers)
        return
    rates = [row["n_atoms"] / row[key] for key in ("model_seconds", "calculator_seconds")]
    own = _own_rate(context, name, "float64" if dtype == "float64" else "mixed", row["n_atoms"])
    beside, ratio = "", ""
    if own is not None:
        n_atoms, rate = own
        beside = f"{rate / 1e6:.3f}" + ("" if n_atoms == row["n_atoms"] else f" at {n_atoms:,}")
        ratio = f"{rate / rates[0]:.1f}"
        numbers |= {"package_atoms": n_atoms, "package_atom_steps_per_s": rate, "ratio": rate / rates[0]}
    texts = (*(f"{rate / 1e6:.4f}" for rate in rates), f"{row['peak_gb']:.1f}")
    table.add((f"mace-{name}", kind, size, *texts, beside, ratio, ""), numbers)


def _own_rate(context: Context, name: str, dtype: str, n_atoms: int) -> tuple[int, float] | None:
    """Return size and atom-steps per second of the package for this number of atoms, or for the next larger one."""
    found = [(n, rate) for (model, number, n), rate in context.rates.items() if (model, number) == (name, dtype)]
    return min((one for one in found if one[0] >= n_atoms), default=None)
