"""Free energy of a spherical cavity in the slab that run.py or water.py made."""

import argparse
from pathlib import Path

import numpy as np

from mlip_lammps.analysis.averages import block_average
from mlip_lammps.compilation import compiled_model
from mlip_lammps.engines.lammps.process import LammpsProcess

EQUILIBRATE, SPACING = 500, 0.5
MN_PER_M = 16021.77  # one eV/angstrom^2
LIQUIDS = {
    "silicon": {"elements": "Si", "pushed": "1", "timestep": "0.002", "temperature": "1800"},
    "water": {"elements": "H O", "pushed": "2", "timestep": "0.001", "temperature": "300"},
}
"""Variables of in.cavity; the sphere pushes oxygen atoms of water."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("out/liquid_surface"), help="folder of the slab")
    parser.add_argument("--model", default="silicon-pbe", help="name or file of the model of the slab")
    parser.add_argument("--liquid", choices=LIQUIDS, default="silicon", help="default: silicon")
    parser.add_argument("--radii", type=int, default=8, help=f"number of radii, {SPACING} angstrom apart")
    parser.add_argument("--sample", type=int, default=2000, help="steps for each radius")
    parser.add_argument("--ranks", type=int, default=2, help="number of MPI ranks")
    radius, slope, error = derivatives(parser.parse_args())
    free_energy = np.concatenate([[0.0], np.cumsum(np.diff(radius) * (slope[1:] + slope[:-1]) / 2.0)])
    for values in zip(radius, slope, error, free_energy, strict=True):
        print("R {:.1f} A: dF/dR {:.3f} +- {:.3f} eV/A, F {:.2f} eV".format(*values))
    scale = MN_PER_M / (8.0 * np.pi * radius[-1])
    print(f"surface tension of the cavity: {scale * slope[-1]:.0f} +- {scale * error[-1]:.0f} mN/m")


def derivatives(chosen: argparse.Namespace) -> np.ndarray:
    """Return radii, mean derivatives of the energy of the sphere and their errors, beginning with zero."""
    variables = {
        "model": str(compiled_model(chosen.model, dtype="mixed")),
        "data": str(chosen.folder / "slab.data"),
        "spacing": str(SPACING),
        "n_radii": str(chosen.radii),
        "equilibrate": str(EQUILIBRATE),
        "sample": str(chosen.sample),
        **LIQUIDS[chosen.liquid],
    }
    script, found = Path(__file__).with_name("in.cavity"), {}
    with LammpsProcess(script, chosen.ranks, variables, chosen.folder / "log.cavity") as process:
        for row in process.rows():
            found.setdefault(row["v_radius"], {})[row["Step"]] = row["c_slope"]
    kept = {r: [slope for step, slope in rows.items() if step > min(rows) + EQUILIBRATE] for r, rows in found.items()}
    averages = {radius: block_average(slopes) for radius, slopes in kept.items()}
    return np.array([(0.0, 0.0, 0.0)] + [(radius, one.mean, one.error) for radius, one in averages.items()]).T


if __name__ == "__main__":
    main()
