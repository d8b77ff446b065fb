"""Structure around atoms: coordination, bond angles, rings and order parameters."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import networkx
import numpy as np
from ase import Atoms
from freud.box import Box
from freud.order import SolidLiquid
from numpy.typing import NDArray

from mlip_lammps.analysis.rdf import RadialDistribution
from mlip_lammps.core.arguments import require_instance, require_positive, require_words
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.graph import Graph, build_graph

_PEAK, _SHELL = 0.5, 1.6
"""Share of the highest g(r) that its first peak reaches, and the end of the first minimum in distances of the peak."""
_CRYSTAL_BOND, _CRYSTAL_BONDS = 0.5, 7
"""Ten Wolde's solid bond: normalised product of the q6 vectors of two neighbours, and bonds of a crystalline atom."""


@dataclass(frozen=True)
class Coordination:
    """Neighbours of an element around another one.

    Attributes
    ----------
    cutoff
        Distance in angstrom below which atoms are neighbours.
    mean
        Mean number of neighbours.
    shares
        Share of the atoms with each number of neighbours.
    """

    cutoff: float
    mean: float
    shares: dict[int, float]


def bond_cutoff(pair: RadialDistribution) -> float:
    """Return the distance of the first minimum of g(r) in angstrom, behind its first peak."""
    require_instance("pair", pair, RadialDistribution, "what radial_distribution returns")
    peak = pair.r[np.argmax(pair.g >= _PEAK * pair.g.max())]
    if pair.r[-1] < _SHELL * peak:
        raise UserInputError(f"g(r) ends at {pair.r[-1]:.2f} angstrom, before its first minimum; give a longer r_max")
    inside = np.flatnonzero((pair.r > peak) & (pair.r < _SHELL * peak))
    lowest = inside[pair.g[inside] <= pair.g[inside].min()]
    return float(pair.r[lowest].mean())


def coordination(frames: Sequence[Atoms], pair: tuple[str, str], cutoff: float) -> Coordination:
    """Count neighbours, averaged over frames.

    Parameters
    ----------
    pair
        Symbols of the centre and of the neighbour.
    cutoff
        Distance in angstrom, for example from `bond_cutoff`.
    """
    _require_frames(frames)
    require_words("pair", pair)
    require_positive("cutoff", cutoff)
    numbers: list[int] = []
    for atoms in frames:
        symbols = np.array(atoms.get_chemical_symbols())
        graph = build_graph(atoms, cutoff)
        edges = graph.edge_centre[symbols[graph.edge_neighbour] == pair[1]]
        numbers.extend(np.bincount(edges, minlength=len(atoms))[symbols == pair[0]])
    if not numbers:
        raise UserInputError(f"{frames[0].get_chemical_formula()} contains no {pair[0]}; choose another pair")
    counts = Counter(int(number) for number in numbers)
    shares = {number: counts[number] / len(numbers) for number in sorted(counts)}
    return Coordination(cutoff, float(np.mean(numbers)), shares)


def bond_angles(frames: Sequence[Atoms], cutoff: float, n_bins: int = 90) -> tuple[NDArray, NDArray]:
    """Return the distribution of angles between bonds of an atom.

    Parameters
    ----------
    cutoff
        Longest bond in angstrom.

    Returns
    -------
    angles
        Bin centres in degrees, shape (n_bins,).
    density
        Probability density in 1/degree, shape (n_bins,).
    """
    _require_frames(frames)
    found = np.zeros(n_bins)
    for atoms in frames:
        graph = build_graph(atoms, cutoff)
        first, second = _edge_pairs(graph)
        directions = graph.edge_vectors / np.linalg.norm(graph.edge_vectors, axis=1, keepdims=True)
        cosines = np.einsum("pk,pk->p", directions[first], directions[second]).clip(-1.0, 1.0)
        found += np.histogram(np.degrees(np.arccos(cosines)), bins=n_bins, range=(0.0, 180.0))[0]
    width = 180.0 / n_bins
    if found.sum() == 0:
        raise UserInputError(f"no atom has two bonds shorter than {cutoff:g} angstrom; give a longer cutoff")
    return width * (np.arange(n_bins) + 0.5), found / (found.sum() * width)


def _edge_pairs(graph: Graph) -> tuple[NDArray, NDArray]:
    """Return the indices of all pairs of edges with the same centre."""
    starts = np.searchsorted(graph.edge_centre, np.arange(graph.n_atoms + 1))
    pairs = [np.stack(np.triu_indices(n, 1)) + low for low, n in zip(starts, np.diff(starts), strict=False) if n > 1]
    return tuple(np.concatenate(pairs, axis=1)) if pairs else (np.zeros(0, int), np.zeros(0, int))


def ring_sizes(atoms: Atoms, cutoff: float) -> dict[int, float]:
    """Return the share of each size of ring, after King.

    For each pair of neighbours of an atom, the ring is the shortest closed path through the three atoms. Pairs without
    a closed path have no ring.

    Parameters
    ----------
    atoms
        A periodic cell must be wider than half the largest ring, or paths through its images count as rings.
    cutoff
        Longest bond in angstrom.

    References
    ----------
    S. V. King, Nature 213, 1112 (1967), https://doi.org/10.1038/2131112a0
    """
    require_instance("atoms", atoms, Atoms, "an ase.Atoms object")
    edges = build_graph(atoms, cutoff)
    bonds = networkx.Graph(zip(edges.edge_centre.tolist(), edges.edge_neighbour.tolist(), strict=True))
    sizes: Counter[int] = Counter()
    for atom in list(bonds):
        neighbours = list(bonds[atom])
        bonds.remove_node(atom)
        for a, b in combinations(neighbours, 2):
            try:
                sizes[len(networkx.bidirectional_shortest_path(bonds, a, b)) + 1] += 1
            except networkx.NetworkXNoPath:
                continue
        bonds.add_edges_from((atom, neighbour) for neighbour in neighbours)
    total = sum(sizes.values())
    return {size: sizes[size] / total for size in sorted(sizes)}


def crystalline_share(atoms: Atoms, cutoff: float) -> float:
    """Return the share of atoms with a crystal-like environment, by the bond order of ten Wolde and coworkers.

    Parameters
    ----------
    atoms
        Periodic in three directions.
    cutoff
        Distance in angstrom below which atoms are neighbours: for crystals with few nearest neighbours, such as
        diamond, beyond the second shell.

    References
    ----------
    P. R. ten Wolde, M. J. Ruiz-Montero, D. Frenkel, J. Chem. Phys. 104, 9932 (1996), https://doi.org/10.1063/1.471721
    """
    require_instance("atoms", atoms, Atoms, "an ase.Atoms object")
    require_positive("cutoff", cutoff)
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise UserInputError("the structure is not periodic in all directions, as the bond order requires")
    cell = np.array(atoms.cell.standard_form()[0])  # triangular, as freud needs it
    box, order = Box.from_matrix(cell.T), SolidLiquid(l=6, q_threshold=_CRYSTAL_BOND, solid_threshold=_CRYSTAL_BONDS)
    positions = box.wrap((atoms.get_scaled_positions() - 0.5) @ cell)
    order.compute((box, positions), neighbors={"r_max": cutoff})
    return float(np.mean(order.num_connections >= _CRYSTAL_BONDS))


def _require_frames(frames: Sequence[Atoms]) -> None:
    if not frames:
        raise UserInputError("found no frame; give a trajectory with at least one")
