"""Picture of a campaign."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mlip_lammps.analysis.plots import strip

_MOST_PANELS, _COLUMNS = 12, 3


def plot_sweep(path: Path, varied: Sequence[str], headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> bool:
    """Plot each result against the first varied option with several numbers, one curve for each set of the others.

    Parameters
    ----------
    path
        Image file to write.
    varied, headings
        Names of the varied options and of the results: the columns of ``rows``.
    rows
        Values of the options, then results as pairs of number and error, or None.

    Returns
    -------
    bool
        Whether there is anything to plot.
    """
    axis = next((k for k in range(len(varied)) if _is_axis([row[k] for row in rows])), None)
    shown = [k for k, _ in enumerate(headings) if any(row[len(varied) + k] is not None for row in rows)][:_MOST_PANELS]
    if axis is None or not shown:
        return False
    n_columns = min(_COLUMNS, len(shown))
    n_rows = -(-len(shown) // n_columns)
    figure = Figure(figsize=(3.6 * n_columns, 2.9 * n_rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for panel in panels[len(shown) :]:
        panel.set_axis_off()
    for panel, k in zip(panels, shown, strict=False):
        curves: dict[str, list[tuple[float, float, float]]] = {}
        for row in rows:
            if (found := row[len(varied) + k]) is not None:
                others = [f"{name} {row[n]}" for n, name in enumerate(varied) if n != axis]
                curves.setdefault(", ".join(others), []).append((row[axis], found[0], found[1] or 0.0))
        for label, points in curves.items():
            x, y, error = zip(*sorted(points), strict=True)
            panel.errorbar(x, y, error, fmt="o-", ms=3, lw=1.0, capsize=2, label=label)
        panel.set(xlabel=varied[axis], ylabel=headings[k])
        strip(panel)
    if len(curves) > 1:
        panels[0].legend(frameon=False, fontsize=7)
    figure.savefig(path, dpi=130)
    return True


def _is_axis(values: Sequence[Any]) -> bool:
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    return are_numbers and len(set(values)) > 1
