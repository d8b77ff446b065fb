"""Repeat the errors in the cards of the shipped models, through this package alone.

    python training/evaluate.py DATA_DIR [--model NAME] [--compiled FILE.pt2]

Each configuration beside this file names its data, which is sought in DATA_DIR, and its split; the shipped model has
the configuration's name.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import yaml
from ase import Atoms
from numpy.typing import NDArray
from split import split_frames

from mlip_lammps.checkpoint import read_model
from mlip_lammps.engines.ase_calculator import MlipCalculator
from mlip_lammps.model import ReferenceModel
from mlip_lammps.models import resolve_model

Prediction = tuple[float, NDArray[np.float64]]


def rms_errors(frames: list[Atoms], predict: Callable[[Atoms], Prediction]) -> tuple[float, float]:
    """Return the root mean square errors of energies (meV per atom) and of force components (meV/angstrom)."""
    energy_errors, force_errors = [], []
    for atoms in frames:
        energy, forces = predict(atoms)
        energy_errors.append((energy - atoms.info["REF_energy"]) / len(atoms))
        force_errors.append((forces - atoms.arrays["REF_forces"]).ravel())
    return 1e3 * _root_mean_square(np.array(energy_errors)), 1e3 * _root_mean_square(np.concatenate(force_errors))


def _root_mean_square(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(values**2)))


def reference_predictor(source: Path) -> Callable[[Atoms], Prediction]:
    """Return energies (eV) and forces (eV/angstrom) by the reference in float64."""
    model = ReferenceModel(read_model(source))

    def predict(atoms: Atoms) -> Prediction:
        result = model.evaluate(atoms)
        return result.energy, result.forces

    return predict


def compiled_predictor(file: Path) -> Callable[[Atoms], Prediction]:
    """Return energies (eV) and forces (eV/angstrom) by a compiled model."""
    calculator = MlipCalculator(file)

    def predict(atoms: Atoms) -> Prediction:
        return calculator.get_potential_energy(atoms), calculator.get_forces(atoms)

    return predict


def main() -> None:
    configurations = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="folder of the data sets")
    parser.add_argument("--model", choices=configurations, help="one model instead of all")
    parser.add_argument("--compiled", type=Path, metavar="FILE", help="its compiled form instead of the reference")
    arguments = parser.parse_args()
    if arguments.compiled and not arguments.model:
        parser.error("--compiled needs --model: the model that the file was compiled from")

    print(f"{'model':<20} {'part':<6} {'frames':>6} {'energy':>15} {'forces':>16}")
    for name, file in configurations.items():
        if arguments.model in (None, name):
            predict = (
                compiled_predictor(arguments.compiled)
                if arguments.compiled
                else reference_predictor(resolve_model(name))
            )
            evaluate(name, yaml.safe_load(file.read_text()), arguments.data_dir, predict)


def evaluate(name: str, settings: dict, data_dir: Path, predict: Callable[[Atoms], Prediction]) -> None:
    """Print a row for each part of the split of one model's data."""
    frames = ase.io.read(data_dir / settings["data"], ":")
    for part, numbers in split_frames(len(frames), **settings["split"]).items():
        energy, force = rms_errors([frames[i] for i in numbers], predict)
        print(f"{name:<20} {part:<6} {len(numbers):>6} {energy:>8.2f} meV/atom {force:>10.1f} meV/A", flush=True)


if __name__ == "__main__":
    main()
