"""Liquid water at constant temperature from Python, on any number of ranks.

    mlip-lammps export water-revpbe0d3 -o water.pt2
    mpiexec -n 2 python examples/01_water/run.py water.pt2 --steps 2000

The run is that of ``inputs/in.water_nvt``: the input script sets up the system with ``steps`` 0, then Python runs it in
blocks and reads thermodynamic values in between. The radial distribution is averaged over all steps, including the
first tenth.
"""

import argparse
from pathlib import Path

from mpi4py import MPI

from mlip_lammps.engines.lammps.session import QUIET, LammpsSession

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS_IN_BLOCK = 10
LEAST_STEPS = 100
COLUMNS = {"Time": "time", "Temp": "temp", "PotEng": "pe", "Econserve": "econserve"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="compiled model from mlip-lammps export")
    parser.add_argument("--data", type=Path, default=REPOSITORY / "inputs" / "water_64.data")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("out/01_water"))
    arguments = parser.parse_args()
    if arguments.steps < LEAST_STEPS:
        parser.error(f"--steps {arguments.steps}: the radial distribution is averaged over {LEAST_STEPS} steps or more")

    is_root = MPI.COMM_WORLD.rank == 0
    arguments.out.mkdir(parents=True, exist_ok=True)
    options = [*QUIET]
    for name, value in (("model", arguments.model), ("data", arguments.data), ("out", arguments.out), ("steps", 0)):
        options += ["-var", name, str(value)]

    with LammpsSession(command_line=options) as session:
        session.run_commands(f"include {REPOSITORY / 'inputs' / 'in.water_nvt'}")
        n_atoms = session.lammps.get_natoms()
        thermo = {column: [] for column in COLUMNS}
        for block in range(arguments.steps // STEPS_IN_BLOCK):
            # The set-up of the first block ("pre") stays valid; "post" would print timings.
            session.run_commands(f"run {STEPS_IN_BLOCK} pre {'yes' if block == 0 else 'no'} post no")
            for column, keyword in COLUMNS.items():
                thermo[column].append(session.lammps.get_thermo(keyword))
            if is_root and block % 10 == 0:
                print("  ".join(f"{column} {values[-1]:.4f}" for column, values in thermo.items()), flush=True)

    if is_root:
        draw(thermo, n_atoms, arguments.out)


def draw(thermo: dict[str, list[float]], n_atoms: int, folder: Path) -> None:
    """Plot the run into ``folder`` and print the path."""
    import numpy as np

    from mlip_lammps.analysis.plots import plot_dynamics
    from mlip_lammps.analysis.rdf import read_lammps_rdf

    plot_dynamics(
        folder / "picture.png",
        {column: np.array(values) for column, values in thermo.items()},
        n_atoms,
        read_lammps_rdf(folder / "rdf_oo.txt"),
        title="Liquid water from Python",
        target_temperature=300.0,
        pair_label="O-O",
    )
    print(f"picture: {folder / 'picture.png'}")


if __name__ == "__main__":
    main()
