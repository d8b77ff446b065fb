"""A slab of liquid silicon: density and surface tension."""

import argparse
from pathlib import Path

from ase.build import bulk

from mlip_lammps import MlipCalculator
from mlip_lammps.analysis.interfaces import surface_tension
from mlip_lammps.analysis.thermo import read_thermo_csv
from mlip_lammps.compilation import compiled_model
from mlip_lammps.structure.lammps_data import write_lammps_data
from mlip_lammps.workflows import DynamicsSettings, run_dynamics

VACUUM, MELT, TEMPERATURE = 20.0, 2500.0, 1800.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=4, help="cubic cells along each axis; 4: 512 atoms")
    parser.add_argument("--model", default="silicon-pbe", help="name or file of a model of silicon")
    parser.add_argument("--equilibration", type=float, default=4.0, help="melting, and equilibration of the slab, ps")
    parser.add_argument("--time", type=float, default=20.0, help="sampling in ps")
    parser.add_argument("--ranks", type=int, default=2, help="number of MPI ranks")
    parser.add_argument("--out", type=Path, default=Path("out/liquid_surface"), help="folder for the results")
    chosen = parser.parse_args()
    calculator = MlipCalculator(compiled_model(chosen.model, dtype="mixed"))
    atoms = bulk("Si", a=5.3, cubic=True).repeat(chosen.cells)  # as dense as the liquid
    stages = {
        "melt": (MELT, chosen.equilibration),
        "equilibrate": (TEMPERATURE, chosen.equilibration),
        "sample": (TEMPERATURE, chosen.time),
    }
    for stage, (temperature, time) in stages.items():
        settings = DynamicsSettings(
            temperature=temperature, time_ps=time, timestep_fs=2.0, thermo_every=4, restart_every=1000
        )
        atoms = run_dynamics(atoms, calculator, settings, chosen.out / stage, n_ranks=chosen.ranks).last_frame()
        if stage == "melt":
            atoms.center(VACUUM / 2.0, axis=2)
    write_lammps_data(chosen.out / "slab.data", atoms, ["Si"])
    tension = surface_tension(read_thermo_csv(chosen.out / "sample" / "thermo.csv"))
    print(f"surface tension of the slab: {tension.mean:.0f} +- {tension.error:.0f} mN/m")


if __name__ == "__main__":
    main()
