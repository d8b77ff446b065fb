"""Phonons and thermal expansion of silicon."""

from pathlib import Path

from ase.build import bulk

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.workflows import Tasks, phonons, quasi_harmonic, relax

OUT = Path("out/05_phonons")


def main() -> None:
    calculator = MlipCalculator(compiled_model("silicon-pbe", dtype="float64"))
    crystal = relax(bulk("Si"), calculator, cell="free", force_tolerance=1e-4).atoms
    tasks = Tasks(OUT / "tasks", n_ranks=2)  # a second run uses the forces of the first
    found = phonons(crystal, calculator, tasks=tasks)
    found.write(OUT)  # phonopy-load reads phonopy_params.yaml
    print(f"{found.space_group}, supercell {found.supercell}, stable: {found.is_stable}")
    print("X:", " ".join(f"{f:.2f}" for f in found.frequencies_at([0.5, 0, 0.5])[0]), "THz")
    print(f"zero-point energy {1e3 * found.thermal.zero_point_energy:.1f} meV")
    expansion = quasi_harmonic(crystal, calculator, temperatures=range(0, 620, 20), mesh_length=40, tasks=tasks)
    for temperature in (100, 300, 600):
        print(f"{temperature} K: linear expansion {1e6 * expansion.at(temperature)['expansion_per_k'] / 3:.2f}e-6/K")


if __name__ == "__main__":
    main()
