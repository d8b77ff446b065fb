"""Radial distribution functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.graph import build_graph


@dataclass(frozen=True)
class RadialDistribution:
    """g(r) of a pair of elements.

    Attributes
    ----------
    r
        Centres of the bins, angstrom, shape (n_bins,).
    g
        Shape (n_bins,); 1 without correlation.
    """

    r: NDArray[np.float64]
    g: NDArray[np.float64]

    def highest_peak(self) -> tuple[float, float]:
        """Return r (angstrom) and g at the maximum, from the parabola through the highest bin and its neighbours."""
        return self.maximum_between(0.0, np.inf)

    def maximum_between(self, r_low: float, r_high: float) -> tuple[float, float]:
        """Return r (angstrom) and g at the highest point with r_low < r < r_high, as ``highest_peak`` does."""
        return self._top(self.g, r_low, r_high)

    def minimum_between(self, r_low: float, r_high: float) -> tuple[float, float]:
        """Return r (angstrom) and g at the lowest point with r_low < r < r_high, as ``highest_peak`` does."""
        r, depth = self._top(-self.g, r_low, r_high)
        return r, -depth

    def _top(self, values: NDArray[np.float64], r_low: float, r_high: float) -> tuple[float, float]:
        inside = np.flatnonzero((self.r > r_low) & (self.r < r_high))
        if len(inside) == 0:
            raise UserInputError(f"no bin of this g(r) lies between {r_low} and {r_high} angstrom; widen the range")
        k = int(inside[np.argmax(values[inside])])
        if not inside[0] < k < inside[-1]:
            return float(self.r[k]), float(values[k])
        left, top, right = values[k - 1 : k + 2]
        shift = 0.5 * (left - right) / (left - 2 * top + right)
        width = self.r[k + 1] - self.r[k]
        return float(self.r[k] + shift * width), float(top - 0.25 * (left - right) * shift)


def read_lammps_rdf(path: Path) -> RadialDistribution:
    """Return the last g(r) that ``fix ave/time ... mode vector`` wrote of a ``compute rdf`` of one pair of types.

    Parameters
    ----------
    path
        File of ``fix ave/time``, with or without ``overwrite``; rows hold bin, r, g(r) and the coordination number.

    Raises
    ------
    UserInputError
        If the file is missing, holds no block, or its last block is not whole.
    """
    if not path.is_file():
        raise UserInputError(f"{path} is not there; the input writes it with fix ave/time")
    rows = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    starts = [i for i, row in enumerate(rows) if len(row) == 2]
    block = rows[starts[-1] + 1 :] if starts else []
    if not block or len(block) != int(rows[starts[-1]][1]) or any(len(row) != 4 for row in block):
        raise UserInputError(
            f"{path} does not end with a whole g(r) of one pair: rows of bin, r, g and coordination number from "
            "compute rdf through fix ave/time mode vector; a run shorter than the time of one average writes none"
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
        Structures with the same elements; each is weighted alike.
    pair
        Symbols of the centre and of the neighbour.
    r_max
        Largest distance, angstrom; it may exceed half the cell.
    n_bins
        Number of bins from 0 to ``r_max``.

    Raises
    ------
    UserInputError
        If there is no frame, or a frame has no such pair or no volume.

    Notes
    -----
    g(r) = n(r, r + dr) / (n_a rho_b V_shell), with rho_b without the centre itself where both elements are the
    same: what ``compute rdf`` of LAMMPS does.
    """
    if not frames:
        raise UserInputError("a radial distribution needs at least one frame; found none")
    edges = np.linspace(0.0, r_max, n_bins + 1)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    g = np.zeros(n_bins)
    for atoms in frames:
        symbols = np.array(atoms.get_chemical_symbols())
        is_centre, is_neighbour = (symbols == symbol for symbol in pair)
        n_pairs = is_centre.sum() * is_neighbour.sum() - (is_centre & is_neighbour).sum()
        if n_pairs == 0 or atoms.cell.rank < 3:
            raise UserInputError(
                f"{atoms.get_chemical_formula()} has no {pair[0]}-{pair[1]} pair in a cell; "
                "g(r) needs both elements and three cell vectors"
            )
        graph = build_graph(atoms, r_max)
        chosen = is_centre[graph.edge_centre] & is_neighbour[graph.edge_neighbour]
        distances = np.linalg.norm(graph.edge_vectors[chosen], axis=1)
        g += np.histogram(distances, bins=edges)[0] * atoms.get_volume() / (n_pairs * shells)
    return RadialDistribution(r=0.5 * (edges[1:] + edges[:-1]), g=g / len(frames))
