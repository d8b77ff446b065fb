"""Reproduce the errors in the cards of the shipped models with this package.

    python training/evaluate.py DATA_DIR [--model NAME] [--file FILE]

Each configuration beside this file names its data sets in DATA_DIR and their split; the shipped model has the
configuration's name. Errors are root mean squares of energies per atom, of force components, and of the nine stress
components.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from ase.units import GPa
from numpy.typing import NDArray
from split import DataError, Frame, read_frames

from mlip_lammps.core.errors import MlipError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families import read_model
from mlip_lammps.families.mace import MaceReference
from mlip_lammps.models import resolve_model

Prediction = tuple[float, NDArray[np.float64], NDArray[np.float64] | None]
Predict = Callable[[Atoms], Prediction]


@dataclass(frozen=True)
class FrameErrors:
    """Differences from the labels of one frame in eV per atom, eV/angstrom and eV/angstrom^3; None without a label."""

    frame: Frame
    energy: float | None
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None


@dataclass(frozen=True)
class Row:
    """Root mean square errors of a set of frames; None without labels.

    Attributes
    ----------
    energy
        Error of the energy in meV per atom.
    forces
        Error of force components in meV/angstrom.
    stress
        Error of stress components in meV/angstrom^3.
    """

    label: str
    part: str
    n_frames: int
    energy: float | None
    forces: float | None
    stress: float | None

    def __str__(self) -> str:
        shown = [f"{self.label:<32} {self.part:<6} {self.n_frames:>6}"]
        stress_gpa = None if self.stress is None else 1e-3 * self.stress / GPa
        for value, form in (
            (self.energy, ">9.2f"), (self.forces, ">8.1f"), (self.stress, ">8.2f"), (stress_gpa, ">7.2f"),
        ):  # fmt: skip
            width = int(form[1:].split(".")[0])
            shown.append(" " * (width - 1) + "-" if value is None else format(value, form))
        return " ".join(shown)


HEADER = f"{'':<32} {'part':<6} {'frames':>6} {'meV/atom':>9} {'meV/A':>8} {'meV/A^3':>8} {'GPa':>7}"


def frame_errors(frame: Frame, predict: Predict) -> FrameErrors:
    """Return the predictions for a frame minus its labels."""
    atoms = frame.atoms
    energy, forces, stress = predict(atoms)
    known_energy, known_stress = atoms.info.get("REF_energy"), atoms.info.get("REF_stress")
    return FrameErrors(
        frame,
        None if known_energy is None else (energy - known_energy) / len(atoms),
        forces - atoms.arrays["REF_forces"],
        None if known_stress is None else voigt_6_to_full_3x3_stress(stress) - np.reshape(known_stress, (3, 3)),
    )


def rows(errors: Sequence[FrameErrors]) -> Iterator[Row]:
    """Yield the errors over all frames, then of each data set, then of each kind of frame, each by part."""
    yield from _parts("all", errors)
    sets = list(dict.fromkeys(one.frame.data for one in errors))
    for name in sets if len(sets) > 1 else ():
        yield from _parts(name, [one for one in errors if one.frame.data == name])
    kinds = list(dict.fromkeys((one.frame.data, one.frame.kind) for one in errors))
    for data, kind in sorted(kinds) if len(kinds) > len(sets) else ():
        label = f"{data}: {kind}" if len(sets) > 1 else kind
        yield from _parts(label, [one for one in errors if (one.frame.data, one.frame.kind) == (data, kind)])


def _parts(label: str, errors: Sequence[FrameErrors]) -> Iterator[Row]:
    for part in ("train", "valid", "test"):
        chosen = [one for one in errors if one.frame.part == part]
        if chosen:
            yield Row(
                label,
                part,
                len(chosen),
                _milli_rms(one.energy for one in chosen),
                _milli_rms(one.forces for one in chosen),
                _milli_rms(one.stress for one in chosen),
            )


def _milli_rms(values: Iterator[float | NDArray[np.float64] | None]) -> float | None:
    known = [np.ravel(value) for value in values if value is not None]
    return 1e3 * float(np.sqrt(np.mean(np.concatenate(known) ** 2))) if known else None


def reference_predictor(source: Path) -> Predict:
    """Return a predictor of energy, forces and stress that uses the reference in float64."""
    model = MaceReference(read_model(source))

    def predict(atoms: Atoms) -> Prediction:
        result = model.evaluate(atoms)
        return result.energy, result.forces, result.stress

    return predict


def compiled_predictor(file: Path) -> Predict:
    """Return a predictor of energy, forces and stress that uses a compiled model."""
    calculator = MlipCalculator(file)

    def predict(atoms: Atoms) -> Prediction:
        stress = calculator.get_stress(atoms) if atoms.pbc.any() else None
        return calculator.get_potential_energy(atoms), calculator.get_forces(atoms), stress

    return predict


def main() -> int:
    configurations = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path, help="folder of the data sets")
    parser.add_argument("--model", choices=configurations, help="evaluate only this model")
    parser.add_argument(
        "--file", type=Path, help="mace-torch, portable or compiled (.pt2) file to evaluate instead of the shipped one"
    )
    arguments = parser.parse_args()
    if arguments.file and not arguments.model:
        parser.error("--file is given without --model; name the configuration whose data to use with --model")
    try:
        for name, configuration in configurations.items():
            if arguments.model in (None, name):
                evaluate(name, configuration, arguments.data_dir, arguments.file or resolve_model(name))
    except (MlipError, DataError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    return 0


def evaluate(name: str, configuration: Path, data_dir: Path, file: Path) -> None:
    """Print the errors of one model on the data of its configuration."""
    frames = read_frames(yaml.safe_load(configuration.read_text())["data"], data_dir)
    predict = compiled_predictor(file) if file.suffix == ".pt2" else reference_predictor(file)
    print(f"{name}\n{HEADER}")
    for row in rows([frame_errors(frame, predict) for frame in frames]):
        print(row, flush=True)


if __name__ == "__main__":
    sys.exit(main())
