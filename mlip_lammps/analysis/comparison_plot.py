"""Pictures of a comparison of models."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from mlip_lammps.analysis.plots import COOL, DEEP, GREY, INK, WARM, strip

_SMALLEST_FORCE, _SMALLEST_STRESS_GPA, _SMALLEST_ENERGY = 1e-3, 1e-2, 1e-6
"""eV/angstrom, GPa and eV/atom; below, all models say that the structure is at rest, or of one energy."""
_MOST_LETTERS = 40
"""Structures whose names have more letters together are numbered."""
_MOST_ROWS = 24
"""More numbers of a crystal need a panel that is taller than the others."""
_WIDEST_PERCENT = 100.0
"""Larger differences are drawn at the edge, with their numbers."""
_STYLES = ((DEEP, "o"), (WARM, "s"), (COOL, "^"), (GREY, "D"), (INK, "v"))
_COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
_WIDTH, _WIDTH_OF_SQUARE, _HEIGHT, _HEIGHT_OF_ROW, _HEIGHT_OF_AXIS = 4.2, 3.4, 3.6, 0.19, 1.1
"""Inches."""

Values = Mapping[str, NDArray[np.float64] | None]
"""Values by model; None, or nan in them, where a model has none."""


@dataclass(frozen=True)
class _Models:
    """Names of all models, the one that differences refer to, and those with results, which the legend names."""

    names: list[str]
    first: str
    known: list[str]

    def style(self, name: str) -> dict[str, str]:
        """Return colour and marker of a model."""
        colour, marker = _STYLES[self.names.index(name) % len(_STYLES)]
        return {"color": colour, "marker": marker, "ls": "none"}

    def handles(self) -> list[Line2D]:
        """Return the entries of the legend."""
        return [Line2D([], [], ms=5, label=name, **self.style(name)) for name in self.known]


def plot_comparison(
    path: Path,
    forces: Values,
    stresses_gpa: Values,
    numbers: Mapping[str, Sequence[float | None]],
    microseconds: Mapping[str, float | None],
    first: str,
) -> bool:
    """Plot forces against those of a first model, stresses, numbers of the crystal relative to it, and speed.

    Parameters
    ----------
    path
        Image file to write.
    forces
        Force components of each model, eV/angstrom, shape (n_components,).
    stresses_gpa
        Stress of each model, GPa, shape (6,), Voigt order xx yy zz yz xz xy.
    numbers
        Values of each model, in the order of ``forces``, by the name of the quantity.
    microseconds
        Time of an evaluation per atom.
    first
        The model that differences refer to.

    Returns
    -------
    bool
        Whether there is anything to plot.
    """
    known = [name for name in forces if forces[name] is not None or microseconds[name] is not None]
    known += [name for k, name in enumerate(forces) if any(values[k] is not None for values in numbers.values())]
    models = _Models(list(forces), first, list(dict.fromkeys(known)))
    place = models.names.index(first)
    shown = {
        quantity: values
        for quantity, values in numbers.items()
        if values[place] and any(value is not None for k, value in enumerate(values) if k != place)
    }
    panels: list[partial[None]] = []
    if _has_parity(forces, models, _SMALLEST_FORCE):
        panels.append(partial(_draw_parity, forces, models, "force", "eV/Å"))
    if _largest(stresses_gpa) > _SMALLEST_STRESS_GPA:
        panels.append(partial(_draw_stresses, stresses_gpa, models))
    if shown:
        panels.append(partial(_draw_numbers, shown, models))
    if any(value is not None for value in microseconds.values()):
        panels.append(partial(_draw_speed, microseconds, models))
    return _save(path, panels, models, len(shown))


def plot_summary(
    path: Path, structures: Sequence[str], energies: Values, forces: Values, stresses_gpa: Values, first: str
) -> bool:
    """Plot what models say of several structures: relative energies, and forces and stresses against a first model.

    Parameters
    ----------
    path
        Image file to write.
    structures
        Names of the structures.
    energies
        Energies of each model relative to the first structure, eV/atom, shape (n_structures,).
    forces
        Force components of all structures, eV/angstrom, shape (n_components,).
    stresses_gpa
        Stress components of all structures, GPa, shape (n_stresses, 6).
    first
        The model that forces and stresses of the others are plotted against.

    Returns
    -------
    bool
        Whether there is anything to plot.
    """
    known = [name for name in forces if any(_has_values(one[name]) for one in (energies, forces, stresses_gpa))]
    models = _Models(list(forces), first, known)
    panels: list[partial[None]] = []
    if _largest(energies) > _SMALLEST_ENERGY:
        panels.append(partial(_draw_energies, structures, energies, models))
    if _has_parity(forces, models, _SMALLEST_FORCE):
        panels.append(partial(_draw_parity, forces, models, "force", "eV/Å"))
    flat = {name: None if values is None else values.ravel() for name, values in stresses_gpa.items()}
    if _has_parity(flat, models, _SMALLEST_STRESS_GPA):
        panels.append(partial(_draw_parity, flat, models, "stress", "GPa"))
    return _save(path, panels, models)


def _largest(values: Values) -> float:
    """Return the largest absolute value of all models, or 0 if there is none."""
    return max((_abs_max(one) for one in values.values() if one is not None), default=0.0)


def _abs_max(values: NDArray[np.float64]) -> float:
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0))


def _has_values(values: NDArray[np.float64] | None) -> bool:
    return values is not None and bool(np.isfinite(values).any())


def _has_parity(values: Values, models: _Models, smallest: float) -> bool:
    """Return whether two models have values that are not all small."""
    known = [name for name in models.names if _has_values(values[name])]
    return models.first in known and len(known) > 1 and _largest(values) > smallest


def _save(path: Path, panels: Sequence[partial[None]], models: _Models, n_rows: int = 0) -> bool:
    """Draw panels under one legend; ``n_rows`` is the number of quantities of the panel with numbers.

    Panels stand side by side. If the numbers need a tall panel, the others stand in a column beside it.
    """
    if not panels:
        return False
    height = _HEIGHT_OF_AXIS + _HEIGHT_OF_ROW * n_rows
    others = [draw for draw in panels if draw.func is not _draw_numbers]
    if n_rows > _MOST_ROWS and others:
        size = (2 * _WIDTH, max(height, _HEIGHT * len(others)))
        (numbers,) = set(panels) - set(others)
        grid = [[draw, numbers] for draw in others]
        options = {}
    else:
        widths = [_WIDTH_OF_SQUARE if draw.func is _draw_parity else _WIDTH for draw in panels]
        size, grid, options = (sum(widths), max(_HEIGHT, height)), [list(panels)], {"width_ratios": widths}
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    FigureCanvasAgg(figure)
    for draw, axes in figure.subplot_mosaic(grid, **options).items():
        draw(axes)
        strip(axes)
    columns = max(1, int(size[0] / (0.5 + 0.085 * max(map(len, models.known)))))
    figure.legend(handles=models.handles(), loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
    figure.savefig(path, dpi=130)
    return True


def _draw_parity(values: Values, models: _Models, quantity: str, unit: str, axes: Axes) -> None:
    limit = 1.05 * _largest(values)
    axes.plot([-limit, limit], [-limit, limit], color=GREY, lw=0.8, zorder=0)
    for name in models.names:
        if name != models.first and values[name] is not None:
            axes.plot(values[models.first], values[name], ms=3, alpha=0.7, mew=0, **models.style(name))
    axes.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    axes.set(xlabel=f"{quantity} of {models.first} ({unit})", ylabel=f"{quantity} ({unit})")


def _draw_stresses(values: Values, models: _Models, axes: Axes) -> None:
    known = [name for name in models.names if values[name] is not None]
    offsets = np.linspace(-0.25, 0.25, len(known)) if len(known) > 1 else [0.0]
    for name, offset in zip(known, offsets, strict=True):
        axes.plot(np.arange(6) + offset, values[name], ms=5, **models.style(name))
    axes.axhline(0.0, color=GREY, lw=0.8, zorder=0)
    for edge in np.arange(5) + 0.5:
        axes.axvline(edge, color=GREY, lw=0.4, alpha=0.5, zorder=0)
    axes.set_xticks(range(6), _COMPONENTS)
    axes.set(xlim=(-0.5, 5.5), xlabel="component", ylabel="stress (GPa)")


def _draw_energies(structures: Sequence[str], values: Values, models: _Models, axes: Axes) -> None:
    places = np.arange(len(structures))
    for name in models.names:
        if values[name] is not None:
            axes.plot(places, values[name], ms=4, **models.style(name) | {"ls": "-", "lw": 0.8})
    if max(map(len, structures)) * len(structures) <= _MOST_LETTERS:
        axes.set_xticks(places, structures)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set_xlabel("structure, counted from 0")
    axes.axhline(0.0, color=GREY, lw=0.8, zorder=0)
    axes.set_ylabel("energy relative to the\nfirst structure (eV/atom)")


def _draw_numbers(shown: Mapping[str, Sequence[float | None]], models: _Models, axes: Axes) -> None:
    """Draw differences from the first model in percent; those beyond the edge with an arrow and their number."""
    place, rows = models.names.index(models.first), np.arange(len(shown))
    table = np.array([[np.nan if value is None else value for value in values] for values in shown.values()])
    percent = 100.0 * (table - table[:, [place]]) / np.abs(table[:, [place]])
    largest = _abs_max(percent)
    width = 1.1 * max(largest, 1e-3) if largest <= _WIDEST_PERCENT else 1.35 * _WIDEST_PERCENT
    for k, name in enumerate(models.names):
        if name == models.first:
            continue
        inside = np.abs(percent[:, k]) <= _WIDEST_PERCENT
        axes.plot(np.where(inside, percent[:, k], np.nan), rows, ms=5, **models.style(name))
        for row in rows[~inside & np.isfinite(percent[:, k])]:
            side = float(np.sign(percent[row, k]))
            marker = {"marker": ">" if side > 0 else "<"}
            axes.plot(side * width, row, ms=6, clip_on=False, **models.style(name) | marker)
            axes.annotate(
                f"{percent[row, k]:+.0f} %", (side * width, row), xytext=(-side * 7, 0), textcoords="offset points",
                ha="right" if side > 0 else "left", va="center", fontsize=7, color=models.style(name)["color"],
            )  # fmt: skip
    axes.axvline(0.0, color=GREY, lw=0.8, zorder=0)
    axes.set_yticks(rows, list(shown))
    axes.set(xlim=(-width, width), ylim=(len(shown) - 0.5, -0.5), xlabel=f"difference from {models.first} (%)")
    axes.xaxis.set_major_locator(MaxNLocator(6))


def _draw_speed(values: Mapping[str, float | None], models: _Models, axes: Axes) -> None:
    known = {name: value for name, value in values.items() if value is not None}
    colours = [models.style(name)["color"] for name in known]
    bars = axes.barh(range(len(known)), list(known.values()), color=colours, height=0.6)
    axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
    axes.set_yticks([])
    axes.set(xlabel="time of an evaluation (µs/atom)", ylim=(max(len(known), 3) - 0.5, -0.5))
    axes.margins(x=0.15)
