"""A slab of water, by a model that was trained on surfaces or ice: density and surface tension."""

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from mlip_lammps import MlipCalculator
from mlip_lammps.analysis.interfaces import surface_tension
from mlip_lammps.analysis.thermo import read_thermo_csv
from mlip_lammps.compilation import compiled_model
from mlip_lammps.structure.lammps_data import write_lammps_data
from mlip_lammps.workflows import DynamicsSettings, run_dynamics

LIQUID = Path(__file__).parents[2] / "inputs" / "water_64.data"
VACUUM, TEMPERATURE, DEUTERIUM = 25.0, 300.0, 2.014


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="file or folder of a model of water")
    parser.add_argument("--boxes", type=int, nargs=3, default=(1, 1, 3), help="64 molecules each; default: 1 1 3")
    parser.add_argument("--equilibration", type=float, default=10.0, help="ps")
    parser.add_argument("--time", type=float, default=120.0, help="sampling in ps")
    parser.add_argument("--ranks", type=int, default=2, help="number of MPI ranks")
    parser.add_argument("--out", type=Path, default=Path("out/water_surface"), help="folder for the results")
    chosen = parser.parse_args()
    calculator = MlipCalculator(compiled_model(chosen.model, dtype="mixed"))
    atoms = slab(chosen.boxes)
    for stage, time in {"equilibrate": chosen.equilibration, "sample": chosen.time}.items():
        settings = DynamicsSettings(
            temperature=TEMPERATURE, time_ps=time, timestep_fs=1.0, thermo_every=4, restart_every=1000
        )
        atoms = run_dynamics(atoms, calculator, settings, chosen.out / stage, n_ranks=chosen.ranks).last_frame()
    write_lammps_data(chosen.out / "slab.data", atoms, ["H", "O"])
    tension = surface_tension(read_thermo_csv(chosen.out / "sample" / "thermo.csv"))
    print(f"surface tension of the slab: {tension.mean:.0f} +- {tension.error:.0f} mN/m")


def slab(boxes: tuple[int, int, int]) -> Atoms:
    """Return whole molecules of the liquid with vacuum along z; heavy hydrogen allows a time step of 1 fs."""
    atoms = ase.io.read(LIQUID, format="lammps-data", atom_style="atomic")
    oxygen, hydrogen = (np.flatnonzero(atoms.symbols == symbol) for symbol in "OH")
    for h in hydrogen:
        vectors = atoms.get_distances(h, oxygen, mic=True, vector=True)
        nearest = np.argmin(np.linalg.norm(vectors, axis=1))
        atoms.positions[h] = atoms.positions[oxygen[nearest]] - vectors[nearest]
    atoms.set_masses([DEUTERIUM if symbol == "H" else None for symbol in atoms.symbols])
    atoms = atoms.repeat(boxes)
    atoms.center(VACUUM / 2.0, axis=2)
    return atoms


if __name__ == "__main__":
    main()
