"""Hop of a vacancy in silicon: the barrier, and a check that the saddle has one imaginary mode."""

from ase.build import bulk

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.workflows import reaction_path


def main() -> None:
    calculator = MlipCalculator(compiled_model("silicon-pbe", dtype="float64"))
    crystal = bulk("Si", a=5.469, cubic=True) * (2, 2, 2)
    # atom 0 hops into the place of atom 1, which is missing
    first = crystal[2:] + crystal[[0]]
    last = first.copy()
    last.positions[-1] = crystal.positions[1]
    found = reaction_path(first, last, calculator, n_images=5)
    for place, energy in zip(found.places, found.energies, strict=True):
        print(f"{place:6.3f} Å  {energy:7.4f} eV")
    print(f"barrier {found.barrier:.3f} eV, lowest mode {found.saddle_modes.frequencies_cm[0]:.0f} 1/cm, "
          f"saddle: {found.is_saddle}")  # fmt: skip


if __name__ == "__main__":
    main()
