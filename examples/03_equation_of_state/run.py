"""Equations of state of two phases of silicon, and the pressure of the phase change."""

import numpy as np
from ase import Atoms
from ase.build import bulk

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.workflows import equation_of_state, phase_change

PLACES = [(0, 0, 0), (0, 0.5, 0.25), (0.5, 0.5, 0.5), (0.5, 0, 0.75)]


def main() -> None:
    calculator = MlipCalculator(compiled_model("silicon-pbe", dtype="float64"))
    diamond = bulk("Si", a=5.47)
    beta_tin = Atoms("Si4", cell=[4.76, 4.76, 2.61], scaled_positions=PLACES, pbc=True)
    factors = np.linspace(0.96, 1.02, 9)
    curves = [
        equation_of_state(atoms, calculator, factors, relaxes_shape=True) for atoms in (diamond, beta_tin)
    ]
    for name, curve in zip(("diamond", "beta-tin"), curves, strict=True):
        fit = curve.birch_murnaghan
        print(f"{name:9s} {fit.volume / len(curve.atoms):.3f} Å³ per atom, B = {fit.bulk_modulus_gpa:.1f} GPa")
    print(f"phase change at {phase_change(*curves).pressure_gpa:.2f} GPa")


if __name__ == "__main__":
    main()
