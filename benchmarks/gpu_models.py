"""Models, structures and GPU files of the GPU benchmark."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from ase import Atoms

from benchmarks.gpu_report import Report
from benchmarks.structures import ROOT, silicon, water
from mlip_lammps.compilation import export_model
from mlip_lammps.families.mace import MaceModel, MaceReference
from mlip_lammps.families.mace.reader.portable import write_portable
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.models import resolve_model
from mlip_lammps.structure.graph import build_graph
from mlip_lammps.testing.random_models import random_model
from mlip_lammps.testing.structures import rattled_triclinic

SHIPPED = ("water-revpbe0d3", "silicon-pbe", "nickel-co2-pbe")
ARCHITECTURES = {"small": "128x0e", "medium": "128x0e+128x1o"}
"""Hidden irreps of the MACE-MP-0 architectures."""
_MP0 = {
    "elements": ("Si",),
    "l_max": 3,
    "correlation": 3,
    "cutoff": 6.0,
    "n_basis": 8,
    "radial_widths": (64, 64, 64),
    "readout_irreps": "16x0e",
    "avg_num_neighbors": 46.0,
}
_TINY = {"elements": ("Si",), "l_max": 2, "correlation": 2, "cutoff": 4.0, "n_basis": 8, "radial_widths": (16, 16)}
_TINY_IRREPS = {"small": "8x0e", "medium": "8x0e+8x1o"}
_STRONG = 3.0
_EXPORTS_AT_A_TIME = 8
DTYPES = ("float64", "mixed")


@dataclass
class Context:
    """State that all parts share.

    Attributes
    ----------
    ends
        Monotonic time after which no new measurement starts.
    is_emulated
        Whether to use emulated GPU files and tiny sizes, to test this script without a GPU.
    sources, files
        Model files by name, and GPU files by name and precision.
    rates
        Atom-steps per second measured so far, by model, precision and number of atoms.
    """

    scratch: Path
    report: Report
    ends: float
    is_quick: bool = False
    is_emulated: bool = False
    sources: dict[str, Path] = field(default_factory=dict)
    files: dict[tuple[str, str], Path] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    rates: dict[tuple[str, str, int], float] = field(default_factory=dict)

    @property
    def seconds_left(self) -> float:
        return self.ends - time.monotonic()


def find_sources(context: Context) -> None:
    """Find or create the models: the shipped ones, and the MACE-MP-0 architectures with random weights.

    ``small`` and ``medium`` have forces of a few eV/angstrom, so that differences from the reference show. Models for
    timing have weak forces, so that silicon keeps its temperature: ``mace-small`` and ``mace-medium``, which are
    mace-torch files in ``.models`` that mace-torch is timed with too, otherwise ``speed-small`` and ``speed-medium``.
    """
    for name in SHIPPED[:1] if context.is_emulated else SHIPPED:
        context.sources[name] = resolve_model(name)
    for name, irreps in ARCHITECTURES.items():
        options = {**_MP0, "hidden_irreps": irreps}
        if context.is_emulated:
            options = {**_TINY, "hidden_irreps": _TINY_IRREPS[name]}
        model = random_model(**options)
        context.sources[name] = context.scratch / f"{name}.safetensors"
        write_portable(_with_strong_forces(model), context.sources[name])
        of_mace_torch = ROOT / ".models" / f"{name}.model"
        if of_mace_torch.is_file() and not context.is_emulated:
            context.sources[f"mace-{name}"] = of_mace_torch
        else:
            context.sources[f"speed-{name}"] = context.scratch / f"speed-{name}.safetensors"
            write_portable(model, context.sources[f"speed-{name}"])


def _with_strong_forces(model: MaceModel) -> MaceModel:
    """Return the model with scaled energies, such that the largest force on rattled silicon is 3 eV/angstrom."""
    name = "scale_shift.scale"
    factor = _STRONG / largest(MaceReference(model).evaluate(silicon(1)).forces)
    return replace(model, weights={**model.weights, name: model.weights[name] * factor})


def is_for_speed(name: str) -> bool:
    """Return whether a model is used only for timing."""
    return name.startswith(("mace-", "speed-"))


def speed_model(context: Context, name: str) -> str:
    """Return the model to time; for an architecture the mace-torch file, if there is one."""
    if name not in ARCHITECTURES:
        return name
    return f"mace-{name}" if f"mace-{name}" in context.sources else f"speed-{name}"


def export_all(context: Context) -> None:
    """Export the GPU files, several at a time, and add the results to the report."""
    note = "Differences from the float64 reference, measured by each export on this card."
    headings = ("model", "precision", "s", "file, MB", "atomic energy, eV", "gradient, eV/angstrom", "due to tables")
    table = context.report.table("Export", headings, note)
    wanted = [(name, dtype) for name in context.sources for dtype in DTYPES]

    def export(job: tuple[str, str]) -> dict:
        name, dtype = job
        path = context.scratch / f"{name}-{dtype}.pt2"
        if context.is_emulated:
            return _export(context.sources[name], path, dtype, is_emulated=True)
        command = [sys.executable, "-m", "benchmarks.gpu_models", str(context.sources[name]), str(path), dtype]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
        for line in done.stdout.splitlines():
            if line.startswith("RESULT "):
                return json.loads(line.removeprefix("RESULT "))
        raise RuntimeError(f"export of {name} in {dtype} failed: {done.stderr[-2000:]}")

    with ThreadPoolExecutor(max_workers=1 if context.is_emulated else _EXPORTS_AT_A_TIME) as pool:
        jobs = {job: pool.submit(export, job) for job in wanted}
        for (name, dtype), job in jobs.items():
            found = context.report.attempt(f"export {name} {dtype}", job.result)
            if found is None:
                continue
            context.files[name, dtype] = Path(found["path"])
            numbers = {"model": name, "precision": dtype, **found}
            differences = found["differences"]
            table.add(
                (
                    name,
                    dtype,
                    f"{found['seconds']:.1f}",
                    f"{found['bytes'] / 1e6:.1f}",
                    *(f"{differences[key]:.1e}" for key in ("energy_per_atom_ev", "gradient_ev_per_angstrom")),
                    f"{differences['table_force_ev_per_angstrom'] or 0.0:.1e}",
                ),
                numbers,
            )


def _export(source: Path, path: Path, dtype: str, is_emulated: bool = False) -> dict:
    started = time.monotonic()
    done = export_model(source, path, dtype=dtype, device="emulated" if is_emulated else "cuda")
    return {
        "path": str(path),
        "seconds": time.monotonic() - started,
        "bytes": done.file_bytes,
        "differences": done.differences.as_dict(),
    }


def elements_of(context: Context, name: str, dtype: str) -> list[str]:
    return list(read_metadata(context.files[name, dtype])["elements"])


def box(name: str, repeats: int) -> Atoms:
    """Return the structure for timing a model: water, or rattled silicon with 8 repeats^3 atoms."""
    return water(repeats) if name.startswith("water") else silicon(repeats)


def parity_structures(name: str, elements: list[str]) -> dict[str, Atoms]:
    """Return small structures with all elements of a model, one of them in a triclinic cell."""
    found = {"triclinic": rattled_triclinic(elements, seed=3)}
    if set(elements) == {"H", "O"}:
        found["water"] = water(1)
        found["water"].rattle(0.02, seed=2)
    elif set(elements) == {"Si"}:
        found["silicon"] = silicon(2)
    return found


def pairs_of_an_atom(atoms: Atoms, cutoff: float) -> float:
    """Return the mean number of neighbours within a distance."""
    return build_graph(atoms, cutoff).n_edges / len(atoms)


def largest(values: np.ndarray) -> float:
    return float(np.abs(values).max(initial=0.0))


if __name__ == "__main__":
    print("RESULT " + json.dumps(_export(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])))
