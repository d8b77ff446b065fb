"""Time of a step of a potential of MatGL, compiled or with the package matgl, on one core.

Usage: ``python benchmarks/matgl_speed.py model.pt2 [N_CELLS]`` measures a file that was exported for silicon. With a
folder in place of the file it measures the calculator of matgl, in an environment with that package. Both use the same
atoms: 8 N_CELLS^3 rattled silicon atoms, 512 by default.
"""

import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.calculators.calculator import Calculator

N_STEPS = 5


def calculator(path: str) -> Calculator:
    """Return the calculator of a compiled file, or that of matgl."""
    if not Path(path).is_dir():
        from mlip_lammps.engines.ase.calculator import MlipCalculator

        return MlipCalculator(path, n_threads=1)
    import matgl
    import torch

    if int(version("matgl").partition(".")[0]) < 3:  # with DGL; set DGLBACKEND=pytorch
        matgl.set_backend("DGL")
        from matgl.ext._ase_dgl import PESCalculator
    else:
        from matgl.ext.ase import PESCalculator
    torch.set_num_threads(1)
    return PESCalculator(matgl.load_model(path))


def main() -> None:
    """Print the processor time of each step."""
    path, *further = sys.argv[1:]
    n_cells = int(further[0]) if further else 4
    rng = np.random.default_rng(1)
    atoms = bulk("Si", cubic=True) * (n_cells, n_cells, n_cells)
    atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
    atoms.calc = calculator(path)
    for step in range(N_STEPS):
        atoms.positions += rng.normal(scale=1e-3, size=atoms.positions.shape)
        start = time.process_time()
        atoms.get_forces()
        seconds = time.process_time() - start
        print(f"step {step}: {1e3 * seconds / len(atoms):.3f} ms per atom for {len(atoms)} atoms")


if __name__ == "__main__":
    main()
