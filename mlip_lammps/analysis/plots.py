"""Plots of simulation results."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlip_lammps.analysis.green_kubo import GreenKubo
from mlip_lammps.analysis.rdf import RadialDistribution

INK = "#22272e"
GREY = "#8a929c"
WARM = "#c8553d"
COOL = "#2a6f97"
DEEP = "#1b4965"


@dataclass(frozen=True)
class RdfReference:
    """Reference points to plot with a computed radial distribution.

    Attributes
    ----------
    label
        Source of the points, shown in the plot.
    r, g
        Distance in angstrom and g(r) of each point, shape (n_points,).
    """

    label: str
    r: tuple[float, ...]
    g: tuple[float, ...]


def plot_dynamics(
    path: Path,
    thermo: Mapping[str, NDArray[np.float64]],
    n_atoms: int,
    rdf: RadialDistribution,
    *,
    title: str,
    target_temperature: float,
    pair_label: str,
    reference: RdfReference | None = None,
) -> None:
    """Plot temperature and energy over time and g(r) of a constant-temperature run.

    Parameters
    ----------
    path
        Image file to write; its suffix sets the format.
    thermo
        Columns ``Time`` (ps), ``Temp`` (K), ``PotEng`` and optionally ``Econserve`` (eV, whole box), each of shape
        (n_rows,).
    n_atoms
        Number of atoms in the box; energies are plotted per atom.
    rdf
        Computed radial distribution.
    title
        Title of the figure.
    target_temperature
        Thermostat temperature in K.
    pair_label
        Element pair of ``rdf``, for example ``O-O``.
    reference
        Reference points for g(r).
    """
    figure = Figure(figsize=(10.5, 5.0), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(2, 2, width_ratios=(1.35, 1.0))
    temperature = figure.add_subplot(grid[0, 0])
    energy = figure.add_subplot(grid[1, 0], sharex=temperature)
    distribution = figure.add_subplot(grid[:, 1])

    _draw_temperature(temperature, thermo, target_temperature)
    _draw_energy(energy, thermo, n_atoms)
    _draw_rdf(distribution, rdf, pair_label, reference)
    temperature.tick_params(labelbottom=False)
    energy.set_xlabel("time (ps)")
    temperature.set_xlim(thermo["Time"][0], thermo["Time"][-1])
    for axes in (temperature, energy, distribution):
        strip(axes)
    figure.align_ylabels((temperature, energy))
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    length = thermo["Time"][-1] - thermo["Time"][0]
    figure.text(0.99, 0.975, f"{n_atoms} atoms, {length:.3g} ps", ha="right", va="top", fontsize=10, color=GREY)
    figure.savefig(path, dpi=200)


def plot_green_kubo(path: Path, result: GreenKubo, *, title: str) -> None:
    """Plot the autocorrelation of a heat flux and the running integral of the conductivity.

    Parameters
    ----------
    path
        Image file to write; its suffix sets the format.
    """
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    correlation, conductivity = figure.subplots(1, 2)
    correlation.plot(result.time, result.correlation, color=DEEP, lw=1.2)
    correlation.axhline(0.0, color=GREY, lw=0.7, ls=(0, (2, 3)), zorder=0)
    correlation.set_ylabel("autocorrelation of the heat flux")
    low, high = result.conductivity - result.error, result.conductivity + result.error
    conductivity.fill_between(result.time, low, high, color=WARM, alpha=0.2, lw=0)
    conductivity.plot(result.time, result.conductivity, color=WARM, lw=1.5)
    conductivity.set_ylabel("conductivity up to that time (W/mK)")
    for axes in (correlation, conductivity):
        axes.set_xlabel("time (ps)")
        axes.set_xlim(0.0, result.time[-1])
        strip(axes)
    figure.suptitle(title, x=0.01, ha="left", fontsize=13, fontweight="bold", color=INK)
    figure.savefig(path, dpi=200)


def _draw_temperature(axes: Axes, thermo: Mapping[str, NDArray[np.float64]], target: float) -> None:
    time, values = thermo["Time"], thermo["Temp"]
    mean = np.cumsum(values) / np.arange(1, len(values) + 1)
    axes.plot(time, values, color=WARM, lw=0.7, alpha=0.45)
    axes.plot(time, mean, color=WARM, lw=1.8)
    axes.axhline(target, color=INK, lw=0.9, ls=(0, (5, 3)))
    axes.set_ylabel("temperature (K)")
    axes.set_ylim(*_limits(np.append(values, target), above=0.25))
    _label(axes, [(f"target {target:g} K", INK), (f"running mean, {mean[-1]:.0f} K at the end", WARM)])


def _draw_energy(axes: Axes, thermo: Mapping[str, NDArray[np.float64]], n_atoms: int) -> None:
    time = thermo["Time"]
    potential = _relative_mev(thermo["PotEng"], n_atoms)
    axes.plot(time, potential, color=COOL, lw=0.9, alpha=0.85)
    labels = [("potential", COOL)]
    drawn = potential
    if "Econserve" in thermo:
        conserved = _relative_mev(thermo["Econserve"], n_atoms)
        axes.plot(time, conserved, color=INK, lw=1.5)
        labels.append(("conserved with the thermostat", INK))
        drawn = np.concatenate([potential, conserved])
    axes.set_ylabel("energy about its mean\n(meV per atom)")
    axes.set_ylim(*_limits(drawn, above=0.25))
    _label(axes, labels)


def _draw_rdf(axes: Axes, rdf: RadialDistribution, pair_label: str, reference: RdfReference | None) -> None:
    axes.fill_between(rdf.r, rdf.g, color=DEEP, alpha=0.10, lw=0)
    axes.plot(rdf.r, rdf.g, color=DEEP, lw=1.8)
    axes.axhline(1.0, color=GREY, lw=0.7, ls=(0, (2, 3)), zorder=0)
    labels = [("this run", DEEP)]
    top = rdf.g.max()
    peak_r, peak_g = rdf.highest_peak()
    axes.annotate(
        f"{peak_g:.2f}\nat {peak_r:.2f} Å",
        (peak_r, peak_g),
        xytext=(-14, -2),
        textcoords="offset points",
        ha="right",
        va="center",
        color=DEEP,
        fontsize=9,
    )
    if reference is not None:
        _draw_reference(axes, reference)
        labels.append((f"○ {reference.label}", WARM))
        top = max(top, *reference.g)
    occupied = rdf.r[rdf.g > 0]
    axes.set_xlim(max(0.0, occupied[0] - 0.9) if len(occupied) else 0.0, rdf.r[-1])
    axes.set_ylim(0.0, 1.28 * top)
    axes.set_xlabel("r (Å)")
    axes.set_ylabel(f"g(r) of {pair_label}")
    _label(axes, labels, right=True)


def _draw_reference(axes: Axes, reference: RdfReference) -> None:
    axes.plot(reference.r, reference.g, "o", ms=8, mfc="white", mec=WARM, mew=1.8, zorder=5)
    for r, g in zip(reference.r, reference.g, strict=True):
        axes.annotate(
            f"{g:.2f} at {r:.2f} Å",
            (r, g),
            xytext=(9, 10 if g > 1 else -16),
            textcoords="offset points",
            color=WARM,
            fontsize=9,
        )


def _relative_mev(energies: NDArray[np.float64], n_atoms: int) -> NDArray[np.float64]:
    """Return energies of the box (eV) relative to their mean, in meV per atom."""
    return (energies - energies.mean()) * 1e3 / n_atoms


def _limits(values: NDArray[np.float64], above: float) -> tuple[float, float]:
    """Return axis limits for ``values``; the fraction ``above`` of their range stays free at the top for labels."""
    low, high = float(values.min()), float(values.max())
    span = (high - low) or 1.0
    return low - 0.06 * span, high + above * span


def _label(axes: Axes, labels: list[tuple[str, str]], right: bool = False) -> None:
    """Label the curves in their colours along the upper edge, instead of a legend."""
    for row, (text, colour) in enumerate(labels):
        x, y = (0.98, 0.97 - 0.055 * row) if right else (0.015 + 0.30 * row, 0.97)
        axes.text(
            x,
            y,
            text,
            color=colour,
            fontsize=9,
            transform=axes.transAxes,
            va="top",
            ha="right" if right else "left",
        )


def strip(axes: Axes) -> None:
    """Hide the top and right spines, and set the colours of the axes."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GREY)
    axes.tick_params(color=GREY, labelcolor=INK, labelsize=9)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
