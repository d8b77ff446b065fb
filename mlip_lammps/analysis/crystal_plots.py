"""Plots of properties of crystals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

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


def plot_bands(
    path: Path,
    lines: Sequence[tuple[tuple[str, str], NDArray[np.float64], NDArray[np.float64]]],
    dos: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    *,
    parts: Mapping[str, NDArray[np.float64]] = MappingProxyType({}),
    title: str = "",
    y_label: str = "frequency (THz)",
    has_dots: bool = False,
) -> None:
    """Plot phonon bands and their density of states.

    Parameters
    ----------
    lines
        For each line: names of both ends, positions, shape (n_q,), and values, shape (n_q, n_modes).
    dos
        Frequencies in THz and density of states in 1/THz, shape (n,).
    parts
        Parts of the density of states by name, shape (n,) each.
    has_dots
        Draw points instead of lines, for values that jump where bands cross.
    """
    figure = new_figure(8.0 if dos is not None else 6.4, 4.4)
    if dos is None:
        bands = figure.subplots()
    else:
        bands, density = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        density.plot(dos[1], dos[0], color=DEEP, lw=1.2)
        density.fill_betweenx(dos[0], dos[1], color=DEEP, alpha=0.1, lw=0)
        for (name, values), colour in zip(parts.items(), _cycled(len(parts) + 1)[1:], strict=True):
            density.plot(values, dos[0], color=colour, lw=1.2, label=name)
        if parts:
            density.legend(frameon=False, fontsize=9)
        density.set_xlabel("states per THz")
        density.set_xlim(left=0)
        strip(density)
    places, names = [], []
    for (first, last), distances, values in lines:
        bands.plot(distances, values, "." if has_dots else "-", color=DEEP, lw=1.2, ms=2.5)
        if places and abs(places[-1] - distances[0]) < 1e-9:
            if names[-1] != first:
                names[-1] = f"{names[-1]}|{first}"
        else:
            places.append(distances[0])
            names.append(first)
        places.append(distances[-1])
        names.append(last)
    bands.set_xticks(places, names)
    for place in places:
        bands.axvline(place, color=GREY, lw=0.6, alpha=0.6, zorder=0)
    bands.set_xlim(places[0], places[-1])
    mark_zero(bands)
    bands.set_ylabel(y_label)
    strip(bands)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    figure.savefig(path, dpi=150)


def plot_against(path: Path, x: NDArray[np.float64], panels: Mapping[str, NDArray[np.float64]], x_label: str) -> None:
    """Plot several quantities against the same one, each in a panel.

    Parameters
    ----------
    x
        Shape (n,).
    panels
        Values by the label of their axis, shape (n,) each.
    """
    figure = new_figure(3.4 * len(panels), 3.4)
    for axes, (label, values), colour in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), _cycled(len(panels)), strict=True
    ):
        axes.plot(x, values, color=colour, lw=1.5)
        axes.set_xlabel(x_label)
        axes.set_ylabel(label)
        strip(axes)
    figure.savefig(path, dpi=150)


def plot_mode_spectra(
    path: Path,
    frequency: NDArray[np.float64],
    points: Mapping[str, tuple[NDArray[np.float64], Sequence[float], Sequence[float]]],
    title: str = "",
) -> None:
    """Plot the power spectra of the modes at several points, one below the other.

    Parameters
    ----------
    frequency
        In THz, shape (n,).
    points
        For each point: power in 1/THz, shape (n,), and frequencies in THz of the harmonic crystal and of fitted lines.
    """
    figure = new_figure(7.0, 1.0 + 1.1 * len(points))
    highest = max(max(harmonic) for _, harmonic, _ in points.values())
    for axes, (name, (power, harmonic, fitted)) in zip(
        figure.subplots(len(points), 1, sharex=True, squeeze=False)[:, 0], points.items(), strict=True
    ):
        axes.plot(frequency, power, color=DEEP, lw=1.0)
        for k, value in enumerate(harmonic):
            axes.axvline(value, color=GREY, lw=0.8, ls=(0, (2, 3)), label=None if k else "harmonic")
        axes.plot(fitted, np.zeros(len(fitted)), "^", ms=5, color=WARM, clip_on=False, label="fitted line")
        axes.set_yticks([])
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)
        axes.set_xlim(0, 1.1 * highest)
        strip(axes)
    axes.set_xlabel("frequency (THz)")
    figure.axes[0].legend(frameon=False, fontsize=8, loc="upper left")
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    figure.savefig(path, dpi=150)


def plot_hull(path: Path, points: Mapping[str, tuple[float, float, bool]], element: str) -> None:
    """Plot formation energies over composition with their convex hull.

    Parameters
    ----------
    points
        For each phase: fraction of ``element``, formation energy in eV per atom, and whether it is on the hull.
    """
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    hull = sorted((x, y) for x, y, is_stable in points.values() if is_stable)
    axes.plot(*np.array(hull).T, color=DEEP, lw=1.4)
    for name, (x, y, is_stable) in points.items():
        axes.plot(x, y, "o", ms=6, mfc=DEEP if is_stable else "white", mec=DEEP if is_stable else WARM)
        axes.annotate(name, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8, color=INK)
    mark_zero(axes)
    axes.set_xlabel(f"fraction of {element}")
    axes.set_ylabel("formation energy (eV per atom)")
    strip(axes)
    figure.savefig(path, dpi=150)
