"""Radial distribution functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_count, require_path, require_positive, require_words
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.graph import build_graph


@dataclass(frozen=True)
class RadialDistribution:
    """g(r) of a pair of elements.

    Attributes
    ----------
    r
        Bin centres in angstrom, shape (n_bins,).
    g
        Values of g(r), shape (n_bins,); 1 without correlation.
    """

    r: NDArray[np.float64]
    g: NDArray[np.float64]

    def highest_peak(self) -> tuple[float, float]:
        """Return r (angstrom) and g at the maximum, from the parabola through the highest bin and its neighbours."""
        return self.maximum_between(0.0, np.inf)

    def maximum_between(self, r_low: float, r_high: float) -> tuple[float, float]:
        """Return r (angstrom) and g at the maximum with r_low < r < r_high; interpolated as in ``highest_peak``."""
        return self._top(self.g, r_low, r_high)

    def minimum_between(self, r_low: float, r_high: float) -> tuple[float, float]:
        """Return r (angstrom) and g at the minimum with r_low < r < r_high; interpolated as in ``highest_peak``."""
        r, depth = self._top(-self.g, r_low, r_high)
        return r, -depth

    def _top(self, values: NDArray[np.float64], r_low: float, r_high: float) -> tuple[float, float]:
        inside = np.flatnonzero((self.r > r_low) & (self.r < r_high))
        if len(inside) == 0:
            raise UserInputError(f"g(r) has no bin between {r_low} and {r_high} angstrom; widen the range")
        k = int(inside[np.argmax(values[inside])])
        if not inside[0] < k < inside[-1]:
            return float(self.r[k]), float(values[k])
        left, top, right = values[k - 1 : k + 2]
        shift = 0.5 * (left - right) / (left - 2 * top + right)
        width = self.r[k + 1] - self.r[k]
        return float(self.r[k] + shift * width), float(top - 0.25 * (left - right) * shift)


def read_lammps_rdf(path: Path | str) -> RadialDistribution:
    """Return the last g(r) in a file that ``fix ave/time ... mode vector`` wrote for ``compute rdf``.

    Parameters
    ----------
    path
        Output file of ``fix ave/time``, with or without ``overwrite``. The compute has one pair of types; rows contain
        bin, r, g(r) and the coordination number.

    Raises
    ------
    UserInputError
        If the file is missing, has no block, or if its last block is incomplete.
    """
    require_path("path", path)
    path = Path(path)
    if not path.is_file():
        raise UserInputError(f"{path} does not exist; add fix ave/time to the input script to write it")
    rows = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    starts = [i for i, row in enumerate(rows) if len(row) == 2]
    block = rows[starts[-1] + 1 :] if starts else []
    if not block or len(block) != int(rows[starts[-1]][1]) or any(len(row) != 4 for row in block):
        raise UserInputError(
            f"{path} does not end with a complete g(r) of one pair, expected rows of bin, r, g and coordination number "
            "from compute rdf and fix ave/time mode vector; run longer than one averaging interval"
        )
    values = np.array(block, dtype=np.float64)
    return RadialDistribution(r=values[:, 1], g=values[:, 2])


def radial_distribution(
    frames: Sequence[Atoms], pair: tuple[str, str], r_max: float, n_bins: int
) -> RadialDistribution:
    """Return g(r) of a pair of elements, averaged over periodic frames.

    Parameters
    ----------
    frames
        Structures with the same elements; all have equal weight.
    pair
        Symbols of the centre and of the neighbour.
    r_max
        Largest distance in angstrom; it may exceed half the cell.
    n_bins
        Number of bins from 0 to ``r_max``.

    Raises
    ------
    UserInputError
        If there is no frame, if a frame has no such pair or no volume, or if a number is not positive.

    Notes
    -----
    g(r) = n(r, r + dr) / (n_a rho_b V_shell). If both elements are the same, rho_b excludes the central atom, as in
    ``compute rdf`` of LAMMPS.
    """
    if not frames:
        raise UserInputError("a radial distribution needs at least one frame, found none; give a trajectory")
    require_words("pair", pair)
    require_positive("r_max", r_max)
    require_count("n_bins", n_bins)
    edges = np.linspace(0.0, r_max, n_bins + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    g = np.zeros(n_bins)
    for atoms in frames:
        symbols = np.array(atoms.get_chemical_symbols())
        is_centre, is_neighbour = (symbols == symbol for symbol in pair)
        n_pairs = is_centre.sum() * is_neighbour.sum() - (is_centre & is_neighbour).sum()
        if n_pairs == 0 or atoms.cell.rank < 3:
            raise UserInputError(
                f"{atoms.get_chemical_formula()} has no {pair[0]}-{pair[1]} pair in a cell, expected both elements and "
                "three cell vectors; choose another pair or set the cell"
            )
        graph = build_graph(atoms, r_max)
        chosen = is_centre[graph.edge_centre] & is_neighbour[graph.edge_neighbour]
        distances = np.linalg.norm(graph.edge_vectors[chosen], axis=1)
        g += np.histogram(distances, bins=edges)[0] * atoms.get_volume() / (n_pairs * shells)
    return RadialDistribution(r=0.5 * (edges[1:] + edges[:-1]), g=g / len(frames))
