"""Measure the cost of a model shape on one core, compared with the other shapes in its configuration's study.

    python training/cost.py NAME [--seconds S]

NAME is the name of a configuration beside this file. Its ``study`` lists other shapes by the options that differ. All
shapes are compiled with random weights in float64 and stored in the cache of compiled models. They run alternately on
one generated structure, so that other load on the machine affects all of them equally. The script prints processor
time.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import yaml
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc100, molecule
from numpy.typing import NDArray

from mlip_lammps.compilation import compiled_model
from mlip_lammps.core.errors import MlipError
from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.families.mace import write_portable
from mlip_lammps.testing.random_models import random_model

HERE = Path(__file__).parent
RATTLE = 0.05
"""Noise in angstrom added to structures, because a perfect crystal has neighbours at only a few distances."""


def water() -> Atoms:
    """Return the box of 64 water molecules that tests and inputs start from."""
    file = HERE.parent / "inputs" / "water_64.data"
    return ase.io.read(file, format="lammps-data", Z_of_type={1: 1, 2: 8}, atom_style="atomic")


def silicon() -> Atoms:
    """Return a silicon crystal of 216 atoms."""
    return bulk("Si", a=5.47, cubic=True) * (3, 3, 3)


def nickel_with_carbon_dioxide() -> Atoms:
    """Return four copies of a slab with nine atoms per layer and one CO2 molecule: 156 atoms."""
    slab = fcc100("Ni", (3, 3, 4), a=3.5, vacuum=8.0, periodic=True)
    add_adsorbate(slab, molecule("CO2"), 1.6, "bridge")
    return slab * (2, 2, 1)


STRUCTURES = {
    "water-revpbe0d3": water,
    "silicon-pbe": silicon,
    "nickel-co2-pbe": nickel_with_carbon_dioxide,
}


def compile_shape(options: dict[str, Any], flags: list[str], elements: list[str]) -> Path:
    """Return a compiled model with random weights and the shape given by options of ``mace_run_train``."""
    trained = random_model(
        elements=elements,
        hidden_irreps=options["hidden_irreps"],
        l_max=options["max_ell"],
        correlation=options["correlation"],
        n_layers=options["num_interactions"],
        cutoff=options["r_max"],
        n_basis=options["num_radial_basis"],
        cutoff_power=options["num_cutoff_basis"],
        radial_widths=tuple(yaml.safe_load(options["radial_MLP"])),
        readout_irreps=options["MLP_irreps"],
        pair_repulsion="--pair_repulsion" in flags,
        dtype=options["default_dtype"],
        avg_num_neighbors=30.0,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "shape.safetensors"
        write_portable(trained, file)
        return compiled_model(file, dtype="float64")


def microseconds_per_atom(files: list[Path], atoms: Atoms, seconds: float) -> NDArray[np.float64]:
    """Return processor times for energy, forces and stress, shape (n_rounds, n_files); the files alternate."""
    calculators = [MlipCalculator(file, n_threads=1) for file in files]
    rng, rounds, start = np.random.default_rng(0), [], time.perf_counter()
    while len(rounds) < 4 or time.perf_counter() - start < seconds:
        times = []
        for calculator in calculators:
            moved = atoms.copy()
            moved.positions += rng.normal(scale=RATTLE, size=moved.positions.shape)
            before = time.process_time()
            calculator.get_stress(moved)
            times.append(time.process_time() - before)
        rounds.append(times)
    # the first round loads the programs
    return 1e6 * np.array(rounds[1:]) / len(atoms)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=STRUCTURES, help="name of a configuration")
    parser.add_argument("--seconds", type=float, default=20.0, help="duration of the measurement")
    arguments = parser.parse_args()
    settings = yaml.safe_load((HERE / f"{arguments.name}.yaml").read_text())
    atoms = STRUCTURES[arguments.name]()
    changes = [{}, *settings.get("study", [])]
    elements = list(dict.fromkeys(atoms.get_chemical_symbols()))
    try:
        files = [compile_shape(settings["mace"] | change, settings.get("flags", []), elements) for change in changes]
        times = microseconds_per_atom(files, atoms, arguments.seconds)
    except MlipError as error:
        print(f"cost.py: {error}", file=sys.stderr)
        return 1
    print(f"{len(atoms)} atoms, {len(times)} rounds, float64; microseconds of one core per atom, ratio to the first")
    for change, column in zip(changes, times.T, strict=True):
        label = ", ".join(f"{key} {value}" for key, value in change.items()) or "as configured"
        ratio = statistics.median(column / times[:, 0])
        print(f"{label:<60} {statistics.median(column):8.1f} {ratio:6.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
