"""Time of a step of CHGNet, of a compiled file or of the package chgnet, on one core.

Usage: ``python benchmarks/chgnet_speed.py chgnet.pt2`` measures a file that was exported for Li, Fe and O, and without
an argument it measures the calculator of chgnet in an environment with that package. Both use the same atoms.
"""

import sys
import time

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator

N_STEPS = 5


def lithium_iron_oxide(n_cells: int = 3) -> Atoms:
    """Return rattled rocksalt LiFeO2 with random Li and Fe: 8 n_cells^3 atoms."""
    rng = np.random.default_rng(0)
    atoms = bulk("LiO", "rocksalt", a=4.17, cubic=True) * (n_cells, n_cells, n_cells)
    metals = np.flatnonzero(atoms.symbols == "Li")
    atoms.symbols[rng.permutation(metals)[: len(metals) // 2]] = "Fe"
    atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
    return atoms


def calculator(words: list[str]) -> Calculator:
    """Return the calculator of a compiled file, or that of chgnet."""
    if words:
        from mlip_lammps.engines.ase.calculator import MlipCalculator

        return MlipCalculator(words[0], n_threads=1)
    import torch
    from chgnet.model.dynamics import CHGNetCalculator

    torch.set_num_threads(1)
    return CHGNetCalculator(use_device="cpu")


def main() -> None:
    """Print the processor time of each step."""
    atoms, rng = lithium_iron_oxide(), np.random.default_rng(1)
    atoms.calc = calculator(sys.argv[1:])
    for step in range(N_STEPS):
        atoms.positions += rng.normal(scale=1e-3, size=atoms.positions.shape)
        start = time.process_time()
        atoms.get_forces()
        seconds = time.process_time() - start
        print(f"step {step}: {1e3 * seconds / len(atoms):.2f} ms per atom for {len(atoms)} atoms")


if __name__ == "__main__":
    main()
