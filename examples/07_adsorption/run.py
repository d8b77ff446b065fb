"""Carbon dioxide on Ni(100): all distinct sites."""

from pathlib import Path

import ase.io
from ase.build import fcc100

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.workflows import Tasks, adsorb
from mlip_lammps.workflows.surfaces.adsorption import fixed_bottom, read_adsorbate

OUT = Path("out/07_adsorption")


def main() -> None:
    calculator = MlipCalculator(compiled_model("nickel-co2-pbe", dtype="float64"))
    slab = fixed_bottom(fcc100("Ni", (3, 3, 4), a=3.5015, vacuum=8.0, periodic=True))
    slab.info.clear()
    study = adsorb(slab, read_adsorbate("CO2"), calculator, tasks=Tasks(OUT / "tasks", n_ranks=2))
    for result in study.results:
        start, energy = f"{result.site:8s} {result.orientation:12s}", f"{result.adsorption_energy:8.3f} eV"
        print(f"{start} {energy}  {result.kind} {result.note}")
    ase.io.write(OUT / "best.extxyz", study.best.atoms)


if __name__ == "__main__":
    main()
