"""Elastic constants, Debye temperature and anisotropy of silicon."""

import numpy as np
from ase.build import bulk

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.workflows import elastic_tensor, relax


def main() -> None:
    calculator = MlipCalculator(compiled_model("silicon-pbe", dtype="float64"))
    crystal = relax(bulk("Si", cubic=True), calculator, cell="isotropic", force_tolerance=1e-5).atoms
    tensor = elastic_tensor(crystal, calculator)
    print("C11, C12, C44 = {:.1f}, {:.1f}, {:.1f} GPa".format(*tensor.cubic()))
    print(f"bulk modulus {tensor.bulk_modulus_hill_gpa:.1f} GPa, shear modulus {tensor.shear_modulus_hill_gpa:.1f} GPa")
    print(f"Debye temperature {tensor.debye_temperature:.0f} K, stable: {tensor.is_stable}")
    for name, direction in {"100": (1, 0, 0), "110": (1, 1, 0), "111": (1, 1, 1)}.items():
        print(f"Young's modulus along [{name}]: {tensor.young_modulus_along(np.array(direction)):.1f} GPa")


if __name__ == "__main__":
    main()
