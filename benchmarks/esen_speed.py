"""Time of a step of eSEN, of a compiled file or of the package fairchem, on one core.

Usage: ``python benchmarks/esen_speed.py esen.pt2`` measures a file that was exported for Na and F. ``python
benchmarks/esen_speed.py published.pt DATASET`` measures the calculator of fairchem for the checkpoint in an environment
with fairchem-core 2. Both use the same atoms. ``tests/peer/esen_models.py`` writes ``published.pt``, a model of the
size of the published eSEN-sm with random weights.
"""

import sys
import time

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator

N_STEPS = 3


def sodium_fluoride(n_cells: int = 3) -> Atoms:
    """Return rattled rocksalt NaF: 8 n_cells^3 atoms."""
    rng = np.random.default_rng(0)
    atoms = bulk("NaF", "rocksalt", a=4.63, cubic=True) * (n_cells, n_cells, n_cells)
    atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
    return atoms


def calculator(words: list[str]) -> Calculator:
    """Return the calculator of a compiled file, or that of fairchem."""
    if len(words) == 1:
        from mlip_lammps.engines.ase.calculator import MlipCalculator

        return MlipCalculator(words[0], n_threads=1)
    import torch
    from fairchem.core import FAIRChemCalculator
    from fairchem.core.units.mlip_unit import InferenceSettings
    from fairchem.core.units.mlip_unit.predict import MLIPPredictUnit

    torch.set_num_threads(1)
    settings = InferenceSettings(activation_checkpointing=False, execution_mode=(words[2:] or ["general"])[0])
    return FAIRChemCalculator(MLIPPredictUnit(words[0], inference_settings=settings), task_name=words[1])


def main() -> None:
    """Print the processor time of each step."""
    atoms, rng = sodium_fluoride(), np.random.default_rng(1)
    atoms.calc = calculator(sys.argv[1:])
    for step in range(N_STEPS):
        atoms.positions += rng.normal(scale=1e-3, size=atoms.positions.shape)
        start = time.process_time()
        atoms.get_forces()
        seconds = time.process_time() - start
        print(f"step {step}: {1e3 * seconds / len(atoms):.1f} ms per atom for {len(atoms)} atoms", flush=True)


if __name__ == "__main__":
    main()
