"""Polymorphs of silicon: relaxed, without duplicates, ranked, and their energies above the hull."""

from ase import Atoms
from ase.build import bulk

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.workflows import formation_energies, screen

PLACES = [(0, 0, 0), (0, 0.5, 0.25), (0.5, 0.5, 0.5), (0.5, 0, 0.75)]


def main() -> None:
    candidates = {
        "diamond": bulk("Si", a=5.4),
        "diamond-cubic": bulk("Si", a=5.5, cubic=True),
        "beta-tin": Atoms("Si4", cell=[4.76, 4.76, 2.61], scaled_positions=PLACES, pbc=True),
        "simple-cubic": bulk("Si", "sc", a=2.53),
        "hcp": bulk("Si", "hcp", a=2.6, c=4.6),
    }
    calculator = MlipCalculator(compiled_model("silicon-pbe", dtype="float64"))
    found = screen(candidates, calculator, cell="free", keeps_symmetry=True)
    for one in found:
        note = f"same as {one.duplicate_of}" if one.duplicate_of else ""
        print(f"{one.name:14s} {one.relative_energy:.3f} eV per atom above the best, {one.space_group} {note}")
    phases = {one.name: one.atoms for one in found if one.duplicate_of is None}
    energies = {one.name: one.energy_per_atom * len(one.atoms) for one in found}
    print("stable:", *formation_energies(phases, energies).stable)


if __name__ == "__main__":
    main()
