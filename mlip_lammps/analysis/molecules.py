"""Detection of broken molecules."""

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.core.arguments import require_count, require_positive, require_words
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.graph import build_graph


def find_broken_molecules(
    frames: Iterable[Atoms], bond: tuple[str, str], n_bonds: int, max_length: float
) -> NDArray[np.int64]:
    """Return the molecules whose bonds differ from those in the first frame.

    Parameters
    ----------
    frames
        Structures with the same atoms in the same order.
    bond
        Symbols of a molecule's central atom and of the atoms bound to it, ``("O", "H")`` for water.
    n_bonds
        Number of atoms bound to each centre.
    max_length
        Longest bond in angstrom.

    Returns
    -------
    ndarray
        Frame and central atom (both counted from 0) of each molecule that has lost or gained a bond since the first
        frame, shape (n_broken, 2).

    Raises
    ------
    UserInputError
        If there is no frame, or if a centre does not have ``n_bonds`` bonds in the first frame.
    """
    require_words("bond", bond)
    require_count("n_bonds", n_bonds)
    require_positive("max_length", max_length)
    broken: list[tuple[int, int]] = []
    first: dict[int, frozenset[int]] | None = None
    for number, atoms in enumerate(frames):
        partners = _partners(atoms, bond, max_length)
        if first is None:
            first = partners
            _check_first(first, bond, n_bonds, max_length)
        broken += [(number, centre) for centre, kept in first.items() if partners[centre] != kept]
    if first is None:
        raise UserInputError("the search for broken molecules needs at least one frame, found none; give a trajectory")
    return np.array(broken, dtype=np.int64).reshape(-1, 2)


def _partners(atoms: Atoms, bond: tuple[str, str], max_length: float) -> dict[int, frozenset[int]]:
    """Return the atoms bound to each centre."""
    graph = build_graph(atoms, max_length)
    symbols = np.array(atoms.get_chemical_symbols())
    chosen = (symbols[graph.edge_centre] == bond[0]) & (symbols[graph.edge_neighbour] == bond[1])
    centres, neighbours = graph.edge_centre[chosen], graph.edge_neighbour[chosen]
    return {
        int(i): frozenset(neighbours[centres == i].tolist()) for i in np.flatnonzero(symbols == bond[0])
    }


def _check_first(
    partners: dict[int, frozenset[int]], bond: tuple[str, str], n_bonds: int, max_length: float
) -> None:
    for centre, bound in partners.items():
        if len(bound) != n_bonds:
            raise UserInputError(
                f"{bond[0]} atom {centre} (counted from 0) of the first frame has {len(bound)} {bond[1]} within "
                f"{max_length} angstrom, expected {n_bonds}; start from intact molecules or change max_length"
            )
