"""Surface energies of nickel."""

from ase.build import bulk

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.workflows import relax, surface_energies


def main() -> None:
    calculator = MlipCalculator(compiled_model("nickel-co2-pbe", dtype="float64"))
    crystal = relax(bulk("Ni", a=3.5), calculator, cell="free", force_tolerance=1e-4).atoms
    for miller in ((1, 1, 1), (1, 0, 0), (1, 1, 0)):
        for found in surface_energies(crystal, calculator, miller):
            print(f"{miller}: {found.surface_energy_j_per_m2:.3f} ± {found.error_j_per_m2:.3f} J/m², "
                  f"{found.n_atoms[0]} to {found.n_atoms[-1]} atoms")  # fmt: skip


if __name__ == "__main__":
    main()
