"""Thermal conductivity with its error, and a plot, from the heat flux that a LAMMPS run has written.

    python examples/02_heat_flux/conductivity.py heat_flux.txt --window 1.0
"""

import argparse
import sys
from pathlib import Path

from mlip_lammps.analysis.green_kubo import read_heat_flux, thermal_conductivity
from mlip_lammps.analysis.plots import plot_green_kubo
from mlip_lammps.core.errors import UserInputError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="written by inputs/in.water_heat_flux")
    parser.add_argument("--window", type=float, default=0.5, help="longest correlation time, ps (default 0.5)")
    parser.add_argument("--parts", type=int, default=4, help="parts of the run for the error estimate (default 4)")
    parser.add_argument("--out", type=Path, default=Path("out/02_heat_flux"))
    arguments = parser.parse_args()
    try:
        heat_flux = read_heat_flux(arguments.file)
        result = thermal_conductivity(heat_flux, arguments.window, arguments.parts)
    except UserInputError as error:
        sys.exit(f"conductivity.py: {error}")

    length = heat_flux.time[-1] - heat_flux.time[0]
    print(f"run           {length:.3g} ps at {heat_flux.temperature:.0f} K")
    value, error = result.conductivity[-1], result.error[-1]
    print(f"conductivity  {value:.2f} +- {error:.2f} W/(m K) up to {result.time[-1]:.3g} ps")
    arguments.out.mkdir(parents=True, exist_ok=True)
    picture = arguments.out / "picture.png"
    plot_green_kubo(picture, result, title=f"Heat flux, {length:.3g} ps at {heat_flux.temperature:.0f} K")
    print(f"picture: {picture}")


if __name__ == "__main__":
    main()
