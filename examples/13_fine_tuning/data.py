"""Label cells of silicon with the Stillinger-Weber potential, and others with silicon-pbe: sw_*.xyz, pbe_*.xyz."""

from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.lammpslib import LAMMPSlib

from mlip_lammps.testing.reference_calculator import ReferenceCalculator

SW = "Si Si Si 2.1683 2.0951 1.80 21.0 1.20 -0.333333333333 7.049556277 0.6022245584 4.0 0.0 0.0\n"
SIZES = {"train": 40, "valid": 8, "test": 20}


def structures(n: int, seed: int) -> list[Atoms]:
    """Return strained and rattled cells of diamond."""
    rng = np.random.default_rng(seed)
    cells = []
    for _ in range(n):
        atoms = bulk("Si", cubic=True)
        atoms.set_cell(atoms.cell @ (np.eye(3) + rng.normal(scale=0.03, size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(scale=rng.uniform(0.02, 0.25), size=(8, 3))
        cells.append(atoms)
    return cells


def crystal(calculator: object) -> float:
    """Return the energy of an atom in diamond in eV."""
    atoms = bulk("Si", a=5.47, cubic=True)
    atoms.calc = calculator
    return atoms.get_potential_energy() / len(atoms)


def label(name: str, calculator: object, seed: int, zero: float = 0.0) -> None:
    """Write frames with forces, and energies less ``zero`` for each atom."""
    for k, (part, n) in enumerate(SIZES.items()):
        frames = structures(n, seed + k)
        for atoms in frames:
            atoms.calc = calculator
            atoms.info["REF_energy"] = atoms.get_potential_energy() - zero * len(atoms)
            atoms.arrays["REF_forces"] = atoms.get_forces()
            atoms.calc = None
        ase.io.write(f"{name}_{part}.xyz", frames)


def main() -> None:
    Path("Si.sw").write_text(SW)
    sw = LAMMPSlib(lmpcmds=["pair_style sw", "pair_coeff * * Si.sw Si"], atom_types={"Si": 1}, keep_alive=True)
    pbe = ReferenceCalculator("silicon-pbe")
    label("sw", sw, seed=1, zero=crystal(sw) - crystal(pbe))  # both energies count from the crystal
    label("pbe", pbe, seed=9)
    ase.io.write("start.xyz", bulk("Si", cubic=True).repeat(3))


if __name__ == "__main__":
    main()
