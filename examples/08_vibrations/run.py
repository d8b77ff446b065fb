"""Vibrations of carbon dioxide in the gas and on Ni(100), and its Gibbs energy of adsorption at 300 K."""

from ase.build import fcc100, molecule

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.workflows import adsorb, relax, vibrations
from mlip_lammps.workflows.surfaces.adsorption import fixed_bottom

TEMPERATURE = 300.0


def main() -> None:
    calculator = MlipCalculator(compiled_model("nickel-co2-pbe", dtype="float64"))
    slab = fixed_bottom(fcc100("Ni", (3, 3, 4), a=3.5015, vacuum=8.0, periodic=True))
    slab.info.clear()
    study = adsorb(slab, molecule("CO2"), calculator, sites=["bridge"], orientations=["flat-turned"])
    bound = relax(study.best.atoms, calculator, force_tolerance=1e-3).atoms
    gas = relax(study.gas, calculator, force_tolerance=1e-4).atoms
    on_nickel = vibrations(bound, calculator, range(len(slab), len(bound)), temperature=TEMPERATURE)
    in_gas = vibrations(gas, calculator, temperature=TEMPERATURE)
    for name, found in (("gas", in_gas), ("adsorbed", on_nickel)):
        print(f"{name}:", " ".join(f"{f:.0f}" for f in found.frequencies_cm), "1/cm")
    energy = on_nickel.energy - study.slab_energy - in_gas.energy
    gibbs = on_nickel.thermochemistry.free_energy - study.slab_energy - in_gas.thermochemistry.free_energy
    print(f"adsorption energy {energy:.3f} eV, Gibbs energy at {TEMPERATURE:g} K and 1 atm {gibbs:.3f} eV")


if __name__ == "__main__":
    main()
