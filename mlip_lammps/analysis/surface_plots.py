"""Plots of surfaces and reactions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.visualize.plot import plot_atoms
from numpy.typing import NDArray

from mlip_lammps.analysis.crystal_plots import COLOURS, mark_zero, new_figure
from mlip_lammps.analysis.plots import DEEP, INK, WARM, strip


def plot_thickness(path: Path, curves: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]) -> None:
    """Plot surface energies over the number of atoms of the slab.

    Parameters
    ----------
    curves
        For each surface: numbers of atoms and energies in J/m^2, shape (n,).
    """
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    for k, (name, (n_atoms, energies)) in enumerate(curves.items()):
        axes.plot(n_atoms, energies, "o-", color=COLOURS[k % len(COLOURS)], lw=1.3, ms=4, label=name)
    axes.set_xlabel("atoms in the slab")
    axes.set_ylabel("surface energy (J/m²)")
    axes.legend(frameon=False, fontsize=9)
    strip(axes)
    figure.savefig(path, dpi=150)


def plot_structures(path: Path, structures: Sequence[tuple[str, Atoms]]) -> None:
    """Draw each structure from above and from the side.

    Parameters
    ----------
    structures
        Title and structure of each picture.
    """
    figure = new_figure(2.8 * len(structures), 5.2)
    grid = figure.subplots(2, len(structures), squeeze=False)
    for column, (title, atoms) in enumerate(structures):
        for row, rotation in enumerate(("", "-90x")):
            plot_atoms(atoms, grid[row, column], rotation=rotation, show_unit_cell=0)
            grid[row, column].set_axis_off()
        grid[0, column].set_title(title, fontsize=9, color=INK)
    figure.savefig(path, dpi=130)


def plot_path(
    path: Path,
    places: NDArray[np.float64],
    energies: NDArray[np.float64],
    line: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> None:
    """Plot the energy along a reaction path.

    Parameters
    ----------
    places, energies
        Length along the path in angstrom and energy in eV of each image, shape (n_images,).
    line
        The same for an interpolation that uses the forces, shape (m,) each.
    """
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    axes.plot(*line, color=DEEP, lw=1.5)
    axes.plot(places, energies, "o", ms=5, mfc="white", mec=DEEP, mew=1.4)
    highest = int(np.argmax(energies))
    axes.plot(places[highest], energies[highest], "o", ms=7, color=WARM)
    axes.annotate(f"{energies[highest]:.3f} eV", (places[highest], energies[highest]), xytext=(6, 6),
                  textcoords="offset points", color=WARM, fontsize=9)  # fmt: skip
    mark_zero(axes)
    axes.set_xlabel("path (Å)")
    axes.set_ylabel("energy (eV)")
    strip(axes)
    figure.savefig(path, dpi=150)
