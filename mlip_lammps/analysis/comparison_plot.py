"""Picture of a comparison of models."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlip_lammps.analysis.plots import COOL, DEEP, GREY, WARM, strip

_SMALLEST_FORCE = 1e-3
"""eV/angstrom; below, all models say that the structure is at rest."""
_COLOURS = (DEEP, WARM, COOL, GREY)


def plot_comparison(
    path: Path,
    forces: Mapping[str, NDArray[np.float64] | None],
    numbers: Mapping[str, Sequence[float | None]],
    microseconds: Mapping[str, float | None],
) -> bool:
    """Plot forces against those of the first model, numbers of the crystal relative to it, and speed.

    Parameters
    ----------
    path
        Image file to write.
    forces
        Force components of each model, eV/angstrom, shape (n_components,); None for a model without.
    numbers
        Values of each model, in the order of ``forces``, by the name of the quantity.
    microseconds
        Time of an evaluation per atom.

    Returns
    -------
    bool
        Whether there is anything to plot.
    """
    names = list(forces)
    first = forces[names[0]]
    limit = 1.05 * max((np.abs(one).max() for one in forces.values() if one is not None), default=0.0)
    shown = {quantity: values for quantity, values in numbers.items() if values[0]}
    panels = []
    if first is not None and limit > _SMALLEST_FORCE and any(forces[name] is not None for name in names[1:]):
        panels.append("forces")
    if len(names) > 1 and shown:
        panels.append("numbers")
    if any(value is not None for value in microseconds.values()):
        panels.append("speed")
    if not panels:
        return False
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    colours = {name: _COLOURS[k % len(_COLOURS)] for k, name in enumerate(names)}
    for panel, kind in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        if kind == "forces":
            panel.plot([-limit, limit], [-limit, limit], color=GREY, lw=0.8)
            for name in names[1:]:
                if forces[name] is not None:
                    panel.plot(first, forces[name], "o", ms=3, color=colours[name], label=name)
            panel.set(xlabel=f"force of {names[0]}, eV/Å", ylabel="force, eV/Å", aspect="equal")
            panel.legend(frameon=False, fontsize=7)
        elif kind == "numbers":
            places = np.arange(len(shown))
            for k, name in enumerate(names[1:], start=1):
                change = [
                    np.nan if values[k] is None else 100 * (values[k] / values[0] - 1) for values in shown.values()
                ]
                panel.plot(change, places, "o", ms=5, color=colours[name], label=name)
            panel.axvline(0.0, color=GREY, lw=0.8)
            panel.set(xlabel=f"difference from {names[0]}, %", yticks=places, yticklabels=list(shown))
            panel.invert_yaxis()
            panel.legend(frameon=False, fontsize=7)
        else:
            known = {name: value for name, value in microseconds.items() if value is not None}
            bars = panel.barh(list(known), list(known.values()), color=[colours[name] for name in known])
            panel.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
            panel.set(xlabel="time of an evaluation, µs/atom")
            panel.margins(x=0.15)
            panel.invert_yaxis()
        strip(panel)
    figure.savefig(path, dpi=130)
    return True
