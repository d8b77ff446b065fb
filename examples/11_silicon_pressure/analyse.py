"""Structure of silicon along a compression, beside the published transitions."""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.ndimage import uniform_filter1d

from mlip_lammps.analysis.lammps_trajectory import read_frames
from mlip_lammps.analysis.local_structure import bond_angles, coordination, crystalline_share, ring_sizes
from mlip_lammps.analysis.rdf import radial_distribution
from mlip_lammps.analysis.structure_factor import structure_factor
from mlip_lammps.analysis.thermo import read_thermo_csv

BOND, SHELL, R_MAX = 2.85, 3.3, 10.0
COMPARED, N_FRAMES = (0.0, 4.0, 7.0, 10.0), 6
PUBLISHED = {"low + high density": (0, 11), "very high density": (12, 13), "crystallites": (13, 16)}  # GPa


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the compression")
    folder = parser.parse_args().folder
    thermo = read_thermo_csv(folder / "thermo.csv")
    frames = {frame.step: frame.atoms() for frame in read_frames(folder / "trajectory.lammpstrj")}
    steps = np.array(list(frames))
    pressure = np.interp(steps, thermo["Step"], uniform_filter1d(thermo["Press"] / 1e4, 21))
    density = np.interp(steps, thermo["Step"], thermo["Density"])
    neighbours = [coordination([atoms], ("Si", "Si"), BOND).mean for atoms in frames.values()]
    crystalline = [crystalline_share(atoms, SHELL) for atoms in frames.values()]
    figure = Figure(figsize=(11.0, 6.5), layout="constrained")
    top, bottom = figure.subplots(2, 3)
    curves = {"density (g/cm³)": density, f"neighbours within {BOND} Å": neighbours, "crystalline atoms": crystalline}
    for axes, (label, values) in zip(top, curves.items(), strict=True):
        axes.plot(pressure, values, ".-", lw=0.8, ms=3)
        axes.set(xlabel="pressure (GPa)", ylabel=label)
        for k, (name, (low, high)) in enumerate(PUBLISHED.items()):
            axes.axvspan(low, high, color=f"C{k + 1}", alpha=0.15, label=name)
    top[0].legend(title="Deringer et al. 2021", fontsize=8)
    structures = list(frames.values())
    for goal in COMPARED:
        nearest = np.argsort(np.abs(pressure - goal), kind="stable")[:N_FRAMES]
        chosen, label = [structures[k] for k in nearest], f"{pressure[nearest].mean():.1f} GPa"
        found = radial_distribution(chosen, ("Si", "Si"), R_MAX, 200)
        factor = structure_factor(found, len(chosen[0]) / chosen[0].get_volume())
        bottom[0].plot(factor.k, factor.s, label=label)
        bottom[1].plot(*bond_angles(chosen, BOND), label=label)
        sizes = ring_sizes(chosen[-1], BOND)
        bottom[2].plot(list(sizes), list(sizes.values()), "o-", label=label)
        print(f"{label}: {factor.s.max():.2f} highest S(k), rings", {n: round(s, 2) for n, s in sizes.items()})
    labels = (("k (1/Å)", "S(k)"), ("bond angle (degrees)", "density"), ("ring size", "share"))
    for axes, (x, y) in zip(bottom, labels, strict=True):
        axes.set(xlabel=x, ylabel=y)
    bottom[0].legend()
    figure.savefig(folder / "compression.png", dpi=110)
    print(f"wrote {folder / 'compression.png'}")


if __name__ == "__main__":
    main()
