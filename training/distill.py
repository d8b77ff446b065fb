"""Label snapshots of dynamics with an ensemble, for distillation.

    python training/distill.py CONFIG.yaml DATA_DIR OUT.extxyz MODEL MODEL [MODEL ...] [--seed N]

Models of one shape that were trained from different weights have partly uncorrelated errors; averaging their forces
reduces them. ``train.py --distilled OUT.extxyz`` trains one model on the labels. Each training frame of the kinds under
``distilled`` in the configuration starts Langevin dynamics with the first MODEL; the final frame is a snapshot.
"""

import argparse
import sys
from pathlib import Path

import ase.io
import numpy as np
import yaml
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from split import DataError, read_frames

from mlip_lammps.core.errors import MlipError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import MaceReference
from mlip_lammps.models import resolve_model

TIME_STEP, FRICTION, N_STEPS = 1.5 * units.fs, 0.02 / units.fs, 200


def snapshot(start: Atoms, calculator: MlipCalculator, temperature: float, rng: np.random.Generator) -> Atoms:
    """Return the final frame of 0.3 ps of Langevin dynamics at ``temperature`` (K) from ``start``, without labels."""
    atoms = Atoms(start.symbols, start.positions, cell=start.cell, pbc=start.pbc, calculator=calculator)
    thermalize_momenta(atoms, temperature, rng=rng)
    thermostat = {"temperature_K": temperature, "friction": FRICTION, "fixcm": False}
    Langevin(atoms, TIME_STEP, **thermostat, rng=rng).run(N_STEPS)
    return Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)


def label(atoms: Atoms, teachers: list[MaceReference]) -> float:
    """Label a frame with the mean predictions of the models; return the RMS spread of their forces (eV/angstrom)."""
    evaluations = [teacher.evaluate(atoms) for teacher in teachers]
    forces = np.array([evaluation.forces for evaluation in evaluations])
    atoms.info["REF_energy"] = float(np.mean([evaluation.energy for evaluation in evaluations]))
    atoms.arrays["REF_forces"] = forces.mean(axis=0)
    return float(np.sqrt(forces.var(axis=0, ddof=1).mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="settings: 'data', 'distilled'")
    parser.add_argument("data_dir", type=Path, help="folder of the data sets")
    parser.add_argument("out", type=Path, help="extended XYZ to write")
    parser.add_argument("models", nargs="+", help="trained models, portable files or names of shipped models")
    parser.add_argument("--seed", type=int, default=2026, help="random seed of velocities and thermostats")
    arguments = parser.parse_args()
    if len(arguments.models) < 2:
        sys.exit("distill.py: found one model, expected an ensemble; give two or more models")

    settings = yaml.safe_load(arguments.config.read_text())
    if not (kinds := settings.get("distilled")):
        sys.exit(f"distill.py: {arguments.config} has no 'distilled'; list kinds of frames with temperatures there")
    rng = np.random.default_rng(arguments.seed)
    distilled, spreads = [], {}
    try:
        starts = [
            frame
            for frame in read_frames(settings["data"], arguments.data_dir)
            if frame.part == "train" and frame.kind in kinds
        ]
        teachers = [MaceReference(read_model(resolve_model(name))) for name in arguments.models]
        calculator = MlipCalculator(arguments.models[0], n_threads=1)
        for frame in starts:
            for temperature in kinds[frame.kind]:
                distilled.append(snapshot(frame.atoms, calculator, temperature, rng))
                spreads.setdefault(frame.kind, []).append(label(distilled[-1], teachers))
    except (DataError, MlipError) as error:
        sys.exit(f"distill.py: {error}")
    ase.io.write(arguments.out, distilled, format="extxyz")
    for kind, of_kind in spreads.items():
        print(f"{kind:<20} {len(of_kind):4} frames, forces differ by {1e3 * np.mean(of_kind):.0f} meV/angstrom")


if __name__ == "__main__":
    main()
