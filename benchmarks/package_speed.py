"""Time of a step of a model on one core, by this package or by the package that the model comes from.

    python -m benchmarks.package_speed ours model.pt2 --structure silicon
    python -m benchmarks.package_speed sevenn 7net-0 --structure silicon

The first line times a compiled file, exported for the elements of the structure. The second one times the calculator of
another package in an environment with that package. Both use the same atoms, which move a little before each step. The
models of each package:

    chgnet     -                 the trained model 0.3.0
    fairchem   FILE DATASET MODE checkpoint, dataset and execution mode (general); tests/peer/esen_models.py writes one
                                 of the size of eSEN-sm
    matgl      FOLDER            potential; with DGL, set DGLBACKEND=pytorch
    sevenn     NAME              checkpoint, or the name of one
    torchani   FILE              model that TorchANI saved; the architecture of ANI-2x with random weights, if missing
"""

import argparse
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator

from benchmarks.structures import silicon, water


def lithium_iron_oxide(n_cells: int) -> Atoms:
    """Return rocksalt LiFeO2 with random Li and Fe: 8 n_cells^3 atoms."""
    rng = np.random.default_rng(0)
    atoms = bulk("LiO", "rocksalt", a=4.17, cubic=True) * (n_cells, n_cells, n_cells)
    metals = np.flatnonzero(atoms.symbols == "Li")
    atoms.symbols[rng.permutation(metals)[: len(metals) // 2]] = "Fe"
    atoms.rattle(0.05, seed=1)
    return atoms


def sodium_fluoride(n_cells: int) -> Atoms:
    """Return rattled rocksalt NaF: 8 n_cells^3 atoms."""
    atoms = bulk("NaF", "rocksalt", a=4.63, cubic=True) * (n_cells, n_cells, n_cells)
    atoms.rattle(0.05, seed=1)
    return atoms


STRUCTURES: dict[str, tuple[Callable[[int], Atoms], int]] = {
    "silicon": (silicon, 4), "LiFeO2": (lithium_iron_oxide, 3), "NaF": (sodium_fluoride, 3), "water": (water, 1),
}  # fmt: skip
"""Structures of a number of cells along each axis, and that number by default."""


def ours(path: str) -> Calculator:
    """Return the calculator of a compiled file."""
    from mlip_lammps.engines.ase.calculator import MlipCalculator

    return MlipCalculator(path, n_threads=1)


def chgnet() -> Calculator:
    """Return the calculator of chgnet."""
    from chgnet.model.dynamics import CHGNetCalculator

    return CHGNetCalculator(use_device="cpu")


def fairchem(path: str, dataset: str, mode: str = "general") -> Calculator:
    """Return the calculator of fairchem-core 2."""
    from fairchem.core import FAIRChemCalculator
    from fairchem.core.units.mlip_unit import InferenceSettings
    from fairchem.core.units.mlip_unit.predict import MLIPPredictUnit

    settings = InferenceSettings(activation_checkpointing=False, execution_mode=mode)
    return FAIRChemCalculator(MLIPPredictUnit(path, inference_settings=settings), task_name=dataset)


def matgl(folder: str) -> Calculator:
    """Return the calculator of MatGL, with DGL before version 3."""
    import matgl

    if int(version("matgl").partition(".")[0]) < 3:
        matgl.set_backend("DGL")
        from matgl.ext._ase_dgl import PESCalculator
    else:
        from matgl.ext.ase import PESCalculator
    return PESCalculator(matgl.load_model(Path(folder)))


def sevenn(name: str) -> Calculator:
    """Return the calculator of SevenNet."""
    from sevenn.calculator import SevenNetCalculator

    return SevenNetCalculator(name, device="cpu")


def torchani(file: str) -> Calculator:
    """Return the calculator of TorchANI in float32; write the file with the architecture of ANI-2x if it is missing."""
    import torch
    from torchani.arch import Assembler

    if not Path(file).is_file():
        maker = Assembler(("H", "C", "N", "O", "S", "F", "Cl"))
        maker.set_atomic_networks(ctor="ani2x")
        maker.set_global_cutoff_fn("cosine")
        maker.set_aev_computer(angular="ani2x", radial="ani2x")
        maker.set_zeros_as_self_energies()
        torch.save(maker.assemble(8), file)
    return torch.load(file, weights_only=False).float().ase()


CALCULATORS = {one.__name__: one for one in (ours, chgnet, fairchem, matgl, sevenn, torchani)}


def main() -> None:
    """Print the time of each step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=list(CALCULATORS), help="ours, or the package with the calculator")
    parser.add_argument("model", nargs="*", help="model and settings; see above")
    parser.add_argument("--structure", choices=list(STRUCTURES), default="silicon", help="default: silicon")
    parser.add_argument("--cells", type=int, metavar="N", help="cells along each axis; default: 1 (water), 3 or 4")
    parser.add_argument("--steps", type=int, default=5, metavar="N", help="default: 5")
    arguments = parser.parse_args()
    if arguments.package != "ours":
        import torch

        torch.set_num_threads(1)
    make, n_cells = STRUCTURES[arguments.structure]
    atoms, rng = make(arguments.cells or n_cells), np.random.default_rng(1)
    atoms.calc = CALCULATORS[arguments.package](*arguments.model)
    for step in range(arguments.steps):
        atoms.positions += rng.normal(scale=1e-3, size=atoms.positions.shape)
        start = time.process_time()
        atoms.get_forces()
        seconds = time.process_time() - start
        print(f"step {step}: {1e3 * seconds / len(atoms):.4f} ms per atom for {len(atoms)} atoms", flush=True)


if __name__ == "__main__":
    main()
