"""Table of supported model options: export, largest difference from mace-torch, LAMMPS on 1 and 2 ranks, and cost.

    python -m benchmarks.support [--options NAME ...] [--out benchmarks/results/support.md]

mace-torch makes small models with random weights, with the options of its training scripts, and evaluates rattled
structures. Each model is exported in float64 and compared through the compiled file; ``mlip-lammps verify`` compares
LAMMPS with it. Needs mace-torch in another environment: ``make peer``.
"""

import argparse
import lzma
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms

from benchmarks.common import PEER_PYTHON, machine, markdown_table
from benchmarks.structures import ROOT
from mlip_lammps.compilation import compiled_model
from mlip_lammps.core.errors import MlipError
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.global_inputs import DEFAULTS
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing.structures import rattled_triclinic
from mlip_lammps.verify.verify import find_subject, verify_model

OPTIONS = {
    "two_layers_vector": "plain and residual blocks",
    "two_layers_tensor_high": "residual blocks, L = 2",
    "repulsion": "ZBL repulsion",
    "heads": "three heads, one chosen",
    "simplified": "file of mace-torch 0.3.8",
    "density_agnesi_repulsion": "density blocks, Agnesi, ZBL: as MACE-MP-0b3, OMAT-0",
    "soft": "soft distance transform",
    "nonlinear_foundation": "non-linear blocks, edge irreps, Agnesi, ZBL, heads, agnostic products: as MACE-MH-1",
    "nonlinear_three_layers": "non-linear blocks, three layers, L = 2, float32",
    "gaussian": "Gaussian basis",
    "chebyshev": "Chebyshev basis (forces: derivatives of the energy)",
    "chebyshev_agnesi": "Chebyshev basis, Agnesi, density blocks",
    "in_half_precision": "saved in float16",
    "so3": "no parity (`use_so3`)",
    "two_layers_odd_high": "features of both parities",
    "charge_and_spin": "total charge and spin, non-linear blocks: as MACE-OMOL",
    "attention": "attention blocks",
    "lora": "LoRA weights",
    "older_repulsion": "ZBL repulsion of mace-torch before 0.3.5",
    "biased": "readout with biases",
    "last_readout_of_heads": "last readout only",
    "latent_ewald": "latent Ewald summation (`MACELES`)",
}
"""Models of ``tests/peer/mace_torch_models.py`` and what they show; the last one is a file of ``tests/data``."""

_ENERGY_LIMIT, _FORCE_LIMIT = 1e-10, 1e-9


@dataclass(frozen=True)
class Row:
    """Result of one model; force differences are relative to the largest force if it is above 1 eV/angstrom."""

    name: str
    energy_difference: float
    force_difference: float
    lammps: str
    microseconds: float


def measure(name: str, folder: Path, head: str | None) -> Row:
    """Export, compare and time one model."""
    path = compiled_model(folder / f"{name}.model", dtype="float64", head=head)
    compiled = CompiledModel(path, n_threads=1)
    energy, force = 0.0, 0.0
    with np.load(folder / f"{name}.npz") as stored:
        for number in range(3):
            given = {key: stored[f"{number}.{key}"] for key in ("numbers", "positions", "cell", "pbc")}
            info = {key: stored[f"{number}.{key}"].item() for key in DEFAULTS if f"{number}.{key}" in stored}
            atoms = Atoms(given["numbers"], given["positions"], cell=given["cell"], pbc=given["pbc"], info=info)
            found = compiled.evaluate(build_graph(atoms, compiled.cutoff))
            scale = max(1.0, np.abs(stored[f"{number}.forces"]).max())
            energy = max(energy, abs(found.energy - stored[f"{number}.energy"]) / len(atoms))
            force = max(force, np.abs(found.forces - stored[f"{number}.forces"]).max() / scale)
    subject = find_subject(path, folder / f"{name}.model", head=head)
    verification = verify_model(subject, n_ranks=(1, 2))
    n_failed = len(verification.with_verdict("fail"))
    lammps = "yes" if n_failed == 0 else f"{n_failed} checks failed"
    return Row(name, float(energy), float(force), lammps, 1e6 * seconds_per_atom(compiled))


def seconds_per_atom(compiled: CompiledModel) -> float:
    """Return the best of five evaluations of 512 atoms on one thread."""
    atoms = rattled_triclinic(compiled.metadata["elements"], repeat=(8, 8, 8))
    graph = build_graph(atoms, compiled.cutoff)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        compiled.evaluate(graph)
        times.append(time.perf_counter() - started)
    return min(times) / len(atoms)


def support_table(rows: list[Row]) -> str:
    """Return the table in Markdown."""
    headings = ("options", "energy, eV/atom", "force, eV/angstrom", "LAMMPS, 1 and 2 ranks", "us/atom")
    body = [
        (
            OPTIONS[row.name],
            f"{row.energy_difference:.0e}",
            f"{row.force_difference:.0e}",
            row.lammps,
            f"{row.microseconds:.0f}",
        )
        for row in rows
    ]
    return markdown_table(headings, body)


def _copy_latent_ewald(folder: Path) -> None:
    """Copy a stored model: mace-torch makes it with the package ``les``, which is not on PyPI."""
    stored = ROOT / "tests/data/mace_les/two_layers"
    (folder / "latent_ewald.model").write_bytes(lzma.decompress(stored.with_suffix(".model.xz").read_bytes()))
    with np.load(stored.with_suffix(".npz")) as results:
        renamed = {".".join(reversed(name.rsplit("_", 1))): results[name] for name in results.files}
    np.savez(folder / "latent_ewald.npz", **renamed)


def main() -> int:
    """Measure the chosen options and write the table; return 1 if a difference is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--options", nargs="+", choices=list(OPTIONS), default=list(OPTIONS), help="default: all")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/support.md", help="file to write")
    arguments = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests/peer"))
    from mace_torch_models import MODELS

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        script = ROOT / "tests/peer/mace_torch_models.py"
        environment = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"}
        subprocess.run([str(PEER_PYTHON), str(script), scratch], check=True, env=environment, capture_output=True)
        _copy_latent_ewald(Path(scratch))
        for name in arguments.options:
            try:
                rows.append(measure(name, Path(scratch), MODELS.get(name, {}).get("head")))
            except MlipError as error:
                print(f"{name}: {error}", file=sys.stderr)
                rows.append(Row(name, float("nan"), float("nan"), "no", float("nan")))
            print(rows[-1], flush=True)
    facts = machine()
    command = " ".join(["python -m benchmarks.support", *sys.argv[1:]])
    made = f"Generated by `{command}` on {facts['processor']}, torch {facts['torch']}, one thread."
    text = f"# Supported options\n\n{made}\n\n{support_table(rows)}\n"
    arguments.out.write_text(text)
    is_within = all(row.energy_difference <= _ENERGY_LIMIT and row.force_difference <= _FORCE_LIMIT for row in rows)
    return 0 if is_within and all(row.lammps == "yes" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
