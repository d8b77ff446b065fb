"""Accuracy of mixed and float32 precision: energies and forces compared with float64, and the energy drift.

    make precision
    python -m benchmarks.precision [--models NAME ...] [--dtypes float64 mixed float32] [--ps 20] [--ranks 1]

For every shipped model, LAMMPS runs 1 ps of NVT at 300 K and then NVE. The drift is the slope of a linear fit to the
total energy. Energies and forces are compared on frames of the float64 run. The output files are ``precision.json`` and
``precision.md``. The default precision of an export is the fastest one with a drift below 0.05 meV per atom and ps for
every shipped model.
"""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_masses, atomic_numbers
from rich.console import Console

from benchmarks.common import load_average, machine, markdown_table
from benchmarks.structures import typical
from mlip_lammps.analysis.thermo import read_thermo
from mlip_lammps.compilation import compiled_model
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.engines.lammps.process import LammpsProcess
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.models import shipped_models

DRIFT_LIMIT = 0.05
"""Limit of the energy drift in meV per atom and ps."""

DECK = """units metal
atom_modify map array
read_data ${{data}}
{masses}
velocity all create 300 11 mom yes rot no
pair_style mlip/torch
pair_coeff * * ${{model}} {elements}
neigh_modify every 1 delay 0 check yes
timestep {step_ps}
thermo_modify format float %.13g
thermo_modify norm no
thermo {every}
fix move all nvt temp 300 300 0.1
run {n_equilibrate}
unfix move
fix move all nve
dump frames all custom {frame_every} ${{out}}/frames.dump id element x y z
dump_modify frames element {elements} sort id
run {n_steps}
"""
N_FRAMES = 5
N_PIECES = 20


@dataclass(frozen=True)
class Precision:
    """Results of one model in one precision.

    Attributes
    ----------
    microseconds
        Core time per atom and step.
    energy_mev, force
        Largest differences from float64 in an atomic energy (meV) and in a force component (eV/angstrom).
    force_rms
        Root mean square force component in float64, eV/angstrom.
    drift
        Slope of the total energy in meV per atom and ps; ``drift_error`` is its standard error.
    """

    model: str
    dtype: str
    n_atoms: int
    ps: float
    microseconds: float
    energy_mev: float
    force: float
    force_rms: float
    drift: float
    drift_error: float


def nve(model: Path, atoms: Atoms, elements: list[str], ps: float, n_ranks: int, folder: Path) -> tuple[float, ...]:
    """Run LAMMPS; return microseconds per atom and step, drift and its error, and write frames to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    step_ps = 0.0005 if "H" in elements else 0.001
    n_steps = round(ps / step_ps)
    data, deck = folder / "atoms.data", folder / "in.nve"
    ase.io.write(data, atoms, format="lammps-data", specorder=elements, atom_style="atomic")
    masses = "\n".join(f"mass {k} {atomic_masses[atomic_numbers[s]]}" for k, s in enumerate(elements, start=1))
    deck.write_text(
        DECK.format(
            masses=masses,
            elements=" ".join(elements),
            step_ps=step_ps,
            every=max(1, n_steps // 2000),
            n_equilibrate=round(min(1.0, ps) / step_ps),
            n_steps=n_steps,
            frame_every=max(1, n_steps // N_FRAMES),
        )
    )
    variables = {"data": data, "model": model, "out": folder}
    with LammpsProcess(deck, n_ranks, variables, folder / "log.lammps") as process:
        for _row in process.rows():
            pass
    loop = process.loop_times[-1]
    thermo = read_thermo(folder / "log.lammps")[-1]
    times, energies = thermo["Step"] * step_ps, 1000.0 * thermo["TotEng"] / len(atoms)
    # consecutive rows are correlated: slope and error are computed from block averages
    pieces = [[part.mean() for part in np.array_split(values, N_PIECES)] for values in (times, energies)]
    (drift, _), covariance = np.polyfit(*pieces, 1, cov=True)
    return 1e6 * loop.n_ranks / loop.atom_steps_per_second, float(drift), float(covariance[0, 0] ** 0.5)


def compare(compiled: Path, exact: list[Atoms]) -> tuple[float, float]:
    """Return the largest differences from float64 frames in an atomic energy (meV) and in a force component."""
    calculator = MlipCalculator(compiled, n_threads=1)
    energy = force = 0.0
    for frame in exact:
        atoms = frame.copy()
        atoms.calc = calculator
        energy = max(energy, 1000.0 * np.abs(atoms.get_potential_energies() - frame.info["energies"]).max())
        force = max(force, np.abs(atoms.get_forces() - frame.arrays["exact"]).max())
    return float(energy), float(force)


def measure_model(name: str, source: Path, arguments: argparse.Namespace, console: Console) -> list[Precision]:
    """Return one row per precision."""
    compiled = {dtype: compiled_model(source, dtype=dtype, progress=console.print) for dtype in arguments.dtypes}
    elements = read_metadata(next(iter(compiled.values())))["elements"]
    atoms = typical(elements, 200)
    exact: list[Atoms] = []
    rows = []
    for dtype, path in compiled.items():
        folder = arguments.out / f"{name}-{dtype}"
        microseconds, drift, error = nve(path, atoms, elements, arguments.ps, arguments.ranks, folder)
        if not exact:
            exact = float64_frames(compiled_model(source, dtype="float64"), folder / "frames.dump")
        rms = float(np.sqrt(np.mean([frame.arrays["exact"] ** 2 for frame in exact])))
        row = Precision(
            name, dtype, len(atoms), arguments.ps, microseconds, *compare(path, exact), rms, drift, error
        )
        console.print(row)
        rows.append(row)
    return rows


def float64_frames(compiled: Path, dump: Path) -> list[Atoms]:
    """Return the frames of a run with atomic energies and forces in float64."""
    frames = ase.io.read(dump, index=":", format="lammps-dump-text")
    calculator = MlipCalculator(compiled, n_threads=1)
    for frame in frames:
        frame.calc = calculator
        frame.info["energies"] = frame.get_potential_energies()
        frame.arrays["exact"] = frame.get_forces()
    return frames


def default_dtype(rows: list[Precision]) -> str:
    """Return the fastest precision with a drift below the limit for every model."""
    fit = {row.dtype for row in rows} - {row.dtype for row in rows if abs(row.drift) > DRIFT_LIMIT}
    if not fit:
        raise SystemExit(f"no precision has a drift below {DRIFT_LIMIT} meV per atom and ps")
    return min(fit, key=lambda dtype: sum(row.microseconds for row in rows if row.dtype == dtype))


def report(rows: list[Precision], load: list[str]) -> str:
    """Return the table in Markdown."""
    headings = (
        "model", "precision", "atoms", "us per atom and step", "atomic energy, meV", "force, eV/angstrom",
        "rms force", "NVE, ps", "drift, meV per atom and ps",
    )  # fmt: skip
    body = [
        (
            row.model, row.dtype, f"{row.n_atoms:,}", f"{row.microseconds:.0f}", f"{row.energy_mev:.1e}",
            f"{row.force:.1e}", f"{row.force_rms:.2f}", f"{row.ps:g}", f"{row.drift:+.4f} ± {row.drift_error:.4f}",
        )
        for row in rows
    ]  # fmt: skip
    facts = ", ".join(f"{key} {value}" for key, value in machine().items())
    return "\n\n".join(
        [
            "# Precision against accuracy",
            f"{facts}; load average before and after: {load[0]}, {load[1]}.",
            markdown_table(headings, body),
            f"Fastest with a drift below {DRIFT_LIMIT} meV per atom and ps: {default_dtype(rows)}.",
        ]
    ) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(shipped_models()), default=list(shipped_models()))
    parser.add_argument("--dtypes", nargs="+", default=["float64", "mixed", "float32"])
    parser.add_argument("--ps", type=float, default=20.0, help="length of the NVE run (default: 20)")
    parser.add_argument("--ranks", type=int, default=1, help="MPI ranks (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("out/precision"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    console, load = Console(highlight=False), [load_average()]
    rows = []
    for name in arguments.models:
        rows += measure_model(name, shipped_models()[name], arguments, console)
    load.append(load_average())
    (arguments.out / "precision.json").write_text(
        json.dumps({"machine": machine(), "load": load, "rows": [asdict(row) for row in rows]}, indent=1)
    )
    text = report(rows, load)
    (arguments.out / "precision.md").write_text(text)
    console.print(text, markup=False)


if __name__ == "__main__":
    main()
