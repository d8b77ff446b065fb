"""Amorphous silicon from the melt, compressed to 10 GPa at 0.5 GPa/ps."""

import argparse
from pathlib import Path

from ase.build import bulk

from mlip_lammps import MlipCalculator
from mlip_lammps.compilation import compiled_model
from mlip_lammps.workflows import DynamicsSettings, run_dynamics

MELT, QUENCH_FROM, COLD, PRESSURE_GPA = 2500.0, 1800.0, 500.0, 10.0
STAGES = {
    # the melt has a fixed volume: without pressure, the model boils at this temperature
    "melt": {"ensemble": "nvt", "temperature": MELT, "time_ps": 6.0},
    "quench": {"ensemble": "npt", "temperature": QUENCH_FROM, "temperature_end": COLD, "time_ps": 20.0},
    "anneal": {"ensemble": "npt", "temperature": COLD, "time_ps": 4.0},
    "compress": {"ensemble": "npt", "temperature": COLD, "pressure_end_gpa": PRESSURE_GPA, "time_ps": 20.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=5, help="cubic cells along each axis; 5: 1,000 atoms, 23: 97,336")
    parser.add_argument("--model", default="silicon-pbe", help="name or file of a model of silicon")
    parser.add_argument("--ranks", type=int, default=2, help="number of MPI ranks")
    parser.add_argument("--out", type=Path, default=Path("out/silicon_pressure"), help="folder for the results")
    parser.add_argument("--slower", type=float, default=1.0, help="factor for all times, for lower rates")
    chosen = parser.parse_args()
    calculator = MlipCalculator(compiled_model(chosen.model, dtype="mixed"))
    atoms = bulk("Si", a=5.3, cubic=True).repeat(chosen.cells)  # as dense as the liquid
    for stage, given in STAGES.items():
        settings = DynamicsSettings(
            **{**given, "time_ps": chosen.slower * given["time_ps"]},
            timestep_fs=2.0, thermo_every=50, trajectory_every=250, restart_every=1000,
        )  # fmt: skip
        print(f"{stage}: {settings.time_ps:g} ps", flush=True)
        atoms = run_dynamics(atoms, calculator, settings, chosen.out / stage, n_ranks=chosen.ranks).last_frame()
    print(f"finished; the picture: python {Path(__file__).with_name('analyse.py')} {chosen.out / 'compress'}")


if __name__ == "__main__":
    main()
