"""Minimum distances between atoms; a model file stores them, and LAMMPS warns about closer atoms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from numpy.typing import ArrayLike, NDArray

from mlip_lammps.core.arguments import require_instance
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.graph import Graph

SHARE_OF_RADII = 0.6
"""Default minimum distance as a fraction of the sum of covalent radii (Cordero et al., Dalton Trans. 2008, 2832)."""

EVERYWHERE = "*"


def read_min_distances(text: str) -> dict[str, float]:
    """Parse ``0.8`` or ``H-H=0.6,H-O=0.7`` (angstrom) into the argument ``given`` of ``min_distances``.

    Raises
    ------
    UserInputError
        If the text has neither form.
    """
    given = {}
    for part in text.replace(" ", "").split(","):
        pair, _, number = part.rpartition("=")
        try:
            given[pair or EVERYWHERE] = float(number)
        except ValueError:
            raise UserInputError(
                f"--min-distance {text} contains {part!r}, which is not a distance; give angstrom for all pairs (0.8) "
                "or per pair (H-H=0.6,H-O=0.7)"
            ) from None
    return given


def min_distances(elements: Sequence[str], given: Mapping[str, float] | None = None) -> list[list[float]]:
    """Return the minimum distance of every pair of elements.

    Parameters
    ----------
    elements
        Chemical symbols in the order of the model's species.
    given
        Distances in angstrom by pair (``H-O``), or for all other pairs (``*``).

    Returns
    -------
    list
        Distances in angstrom, shape (n_elements, n_elements), symmetric. The default is 0.6 times the sum of the
        covalent radii.

    Raises
    ------
    UserInputError
        If a pair has an element that the model does not know, or if a distance is negative.
    """
    if given is not None:
        require_instance("smallest", given, Mapping, "a dictionary such as {'H-O': 0.7}")
    left = dict(given or {})
    everywhere = left.pop(EVERYWHERE, None)
    table = [
        [
            SHARE_OF_RADII * float(covalent_radii[atomic_numbers[a]] + covalent_radii[atomic_numbers[b]])
            for b in elements
        ]
        for a in elements
    ]
    if everywhere is not None:
        table = [[everywhere] * len(elements) for _ in elements]
    for pair, distance in left.items():
        a, _, b = pair.partition("-")
        if a not in elements or b not in elements:
            raise UserInputError(
                f"a minimum distance is given for {pair}, but the model knows {', '.join(elements)}; name two of them, "
                "for example H-O=0.7"
            )
        i, j = elements.index(a), elements.index(b)
        table[i][j] = table[j][i] = distance
    for distance in [*left.values(), *([everywhere] if everywhere is not None else [])]:
        if not 0.0 <= distance < float("inf"):
            raise UserInputError(f"a minimum distance is {distance:g} angstrom; give a finite value of 0 or more")
    return [[round(distance, 4) for distance in row] for row in table]


@dataclass(frozen=True)
class ClosePair:
    """Two atoms that are closer than the model's smallest distance for their elements.

    Attributes
    ----------
    i, j
        Atoms, from 0.
    distance, smallest
        Angstrom: theirs, and the model's.
    """

    i: int
    j: int
    distance: float
    smallest: float


def find_close_pair(graph: Graph, species: NDArray[np.int64], smallest: ArrayLike) -> ClosePair | None:
    """Return the pair that is farthest below its smallest distance; None if no pair is too close.

    Parameters
    ----------
    species
        The model's row of each atom, shape (n_atoms,).
    smallest
        Angstrom, shape (n_elements, n_elements), as ``min_distances`` gives it.
    """
    if graph.n_edges == 0:
        return None
    allowed = np.asarray(smallest)[species[graph.edge_centre], species[graph.edge_neighbour]]
    distances = np.sqrt(np.einsum("ek,ek->e", graph.edge_vectors, graph.edge_vectors))
    gaps = distances - allowed
    if gaps.min() >= 0.0:
        return None
    edge = int(np.argmin(gaps))
    i, j = sorted((int(graph.edge_centre[edge]), int(graph.edge_neighbour[edge])))
    return ClosePair(i, j, float(distances[edge]), float(allowed[edge]))
