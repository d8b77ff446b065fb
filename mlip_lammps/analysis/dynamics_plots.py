"""Picture of a molecular dynamics run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlip_lammps.analysis.plots import COOL, DEEP, GREY, INK, WARM, strip
from mlip_lammps.analysis.thermo import read_thermo_csv

_COLOURS = (DEEP, WARM, COOL, INK, GREY)


def plot_md(path: Path, folder: Path, results: Any) -> None:
    """Plot temperature and energy over time, g(r), mean square displacements and, if there is one, the spectrum.

    Parameters
    ----------
    path
        Image file to write.
    folder
        Folder of the run, with ``thermo.csv``.
    results
        ``DynamicsResults``.
    """
    thermo = read_thermo_csv(folder / "thermo.csv")
    figure = Figure(figsize=(10.5, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    temperature, pairs, energy, last = figure.subplots(2, 2).ravel()
    temperature.plot(thermo["Time"], thermo["Temp"], color=WARM, lw=0.8)
    temperature.set(xlabel="time (ps)", ylabel="temperature (K)")
    energy.plot(thermo["Time"], thermo["PotEng"] - thermo["PotEng"][-1], color=COOL, lw=0.8)
    energy.set(xlabel="time (ps)", ylabel="potential energy less its last value (eV)")
    _curves(pairs, {name: (pair.r, pair.g) for name, pair in results.pairs.items()}, "r (Å)", "g(r)")
    if results.spectrum is not None:
        found = {"": (results.spectrum.frequency_thz, results.spectrum.density)}
        _curves(last, found, "frequency (THz)", "vibrational density of states (1/THz)")
    else:
        found = {name: (one.time, one.displacement) for name, one in results.diffusion.items()}
        _curves(last, found, "time (ps)", "mean square displacement (Å²)")
    for axes in (temperature, pairs, energy, last):
        strip(axes)
    figure.savefig(path, dpi=150)


def _curves(axes: Axes, curves: Mapping[str, tuple[Any, Any]], x_label: str, y_label: str) -> None:
    for k, (name, (x, y)) in enumerate(curves.items()):
        axes.plot(x, y, color=_COLOURS[k % len(_COLOURS)], lw=1.4, label=name)
    axes.set(xlabel=x_label, ylabel=y_label)
    if any(curves):
        axes.legend(frameon=False)
