"""Plots of properties of crystals."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlip_lammps.analysis.plots import COOL, DEEP, GREY, INK, WARM, strip

COLOURS = (DEEP, WARM, COOL, GREY, INK)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches that can be saved without a display."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plot_energy_volume(
    path: Path,
    curves: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]],
) -> None:
    """Plot energies and fitted equations of state.

    Parameters
    ----------
    path
        Image file to write.
    curves
        For each name: volumes (angstrom^3 per atom) and energies (eV per atom) that were computed, shape (n,), and
        those of the fitted curve, shape (m,).
    """
    figure = new_figure(6.4, 4.2)
    axes = figure.subplots()
    for (name, (volumes, energies, fit_volumes, fit_energies)), colour in zip(
        curves.items(), _cycled(len(curves)), strict=True
    ):
        axes.plot(fit_volumes, fit_energies, color=colour, lw=1.5)
        axes.plot(volumes, energies, "o", ms=5, mfc="white", mec=colour, mew=1.4, label=name)
    axes.set_xlabel("volume per atom (Å³)")
    axes.set_ylabel("energy per atom (eV)")
    axes.legend(frameon=False, fontsize=9)
    strip(axes)
    figure.savefig(path, dpi=150)


def plot_young_modulus(path: Path, cuts: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> None:
    """Plot Young's modulus over the direction in planes.

    Parameters
    ----------
    cuts
        For each plane: angles in radians and moduli in GPa, shape (n,).
    """
    figure = new_figure(3.4 * len(cuts), 3.8)
    top = max(moduli.max() for _, moduli in cuts.values())
    for axes, (name, (angles, moduli)) in zip(
        figure.subplots(1, len(cuts), subplot_kw={"projection": "polar"}, squeeze=False)[0], cuts.items(), strict=True
    ):
        axes.plot(angles, moduli, color=DEEP, lw=1.6)
        axes.fill(angles, moduli, color=DEEP, alpha=0.08, lw=0)
        axes.set_ylim(0, 1.05 * top)
        axes.set_title(name, color=INK, fontsize=10)
        axes.tick_params(labelsize=8, labelcolor=GREY)
        axes.grid(color=GREY, alpha=0.3)
    figure.suptitle("Young's modulus (GPa)", x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    figure.savefig(path, dpi=150)


def _cycled(n: int) -> Sequence[str]:
    return [COLOURS[k % len(COLOURS)] for k in range(n)]


def mark_zero(axes: Axes) -> None:
    """Draw a dotted line at zero."""
    axes.axhline(0.0, color=GREY, lw=0.7, ls=(0, (2, 3)), zorder=0)
