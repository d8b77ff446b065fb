"""Print the observables of a water card from the output of inputs/in.water_nvt or in.water_nve.

    python training/observe.py RUN_DIR [--reference DATA.extxyz]

RUN_DIR contains ``log.lammps`` and, for a constant-temperature run, ``rdf_oo.txt`` and ``water.lammpstrj``.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.analysis.molecules import find_broken_molecules
from mlip_lammps.analysis.rdf import RadialDistribution, radial_distribution, read_lammps_rdf
from mlip_lammps.analysis.thermo import read_thermo

LONGEST_OH_BOND = 1.3
FIRST_MINIMUM = (3.0, 3.9)
SECOND_MAXIMUM = (3.9, 5.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path, help="folder of the run")
    parser.add_argument("--reference", type=Path, help="frames to compare g_OO with")
    arguments = parser.parse_args()

    trajectory = arguments.run_dir / "water.lammpstrj"
    frames = ase.io.read(trajectory, ":", format="lammps-dump-text") if trajectory.is_file() else []
    thermo = read_thermo(arguments.run_dir / "log.lammps")[-1]
    time = thermo["Time"]
    print(f"{time[-1] - time[0]:.2f} ps, mean temperature {thermo['Temp'].mean():.1f} K")
    if frames:
        show_molecules(frames)
        simulated = read_lammps_rdf(arguments.run_dir / "rdf_oo.txt")
        show_rdf("this run", simulated)
        if arguments.reference:
            # The same bins, so that the binning broadens peaks equally.
            r_max = simulated.r[-1] + simulated.r[0]
            known = ase.io.read(arguments.reference, ":")
            show_rdf("reference", radial_distribution(known, ("O", "O"), r_max, len(simulated.r)))
    elif n_atoms := count_atoms_in_log(arguments.run_dir / "log.lammps"):
        show_drift(time, thermo["Econserve"] / n_atoms)


def count_atoms_in_log(log_file: Path) -> int:
    """Return the number of atoms from the last line of a run."""
    (line,) = [line for line in log_file.read_text().splitlines() if line.startswith("Loop time of")][-1:]
    return int(line.split()[-2])


def show_molecules(frames: list[Atoms]) -> None:
    """Print the number of broken molecules in all frames."""
    broken = find_broken_molecules(frames, ("O", "H"), 2, LONGEST_OH_BOND)
    print(f"{len(frames)} frames, {len(broken)} broken molecules (two H within {LONGEST_OH_BOND} A of each O)")


def show_rdf(label: str, rdf: RadialDistribution) -> None:
    """Print the first maximum, first minimum and second maximum of g_OO of water."""
    points = [rdf.highest_peak(), rdf.minimum_between(*FIRST_MINIMUM), rdf.maximum_between(*SECOND_MAXIMUM)]
    print(f"g_OO of {label}: " + ", ".join(f"{g:.2f} at {r:.2f} A" for r, g in points))


def show_drift(time: NDArray[np.float64], energy: NDArray[np.float64]) -> None:
    """Print the slope of the energy (eV per atom) over time (ps), and its standard deviation about the linear fit."""
    slope, start = np.polyfit(time, energy, 1)
    scatter = (energy - (slope * time + start)).std()
    print(f"drift {1e3 * slope:+.5f} meV per atom and ps, scatter {1e3 * scatter:.4f} meV per atom")


if __name__ == "__main__":
    main()
