"""Structures for comparing engines: rattled and triclinic, so that symmetry cannot hide errors of sign or order."""

from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import ArrayLike, NDArray

TRICLINIC = np.array([[1.0, 0.0, 0.0], [0.18, 0.94, 0.0], [-0.12, 0.15, 1.07]])
"""Right-handed cell in the orientation that LAMMPS requires: first vector along x, second vector in the xy plane."""
SHEARED_SHAPE = np.array([[1.0, 0.0, 0.0], [0.8, 0.9, 0.0], [-0.7, 0.75, 1.1]])

SPACING = 0.45
"""Distance between atoms as a fraction of the cutoff; an atom has about 45 neighbours."""

RATTLE = 0.03
"""Standard deviation of displacements as a fraction of the cutoff."""

MOST_ISOLATED = 8
"""Largest number of elements whose isolated atoms are evaluated in LAMMPS."""

_MOST_TOGETHER, _OF_MANY = 6, 3
"""Largest number of elements in one small cell, and number in that of a model with more: the memory of radial tables
grows with its square."""
_MOST_EQUAL_PAIRS = 16

BASE = "triclinic"
SMALL = "smaller than the cutoff"
SHEARED = "sheared"
MOLECULE = "molecule in a corner"
"""A structure that leaves some ranks without atoms."""
CLUSTER = "isolated cluster"
"""A structure that spans all ranks and has no periodic images."""
CHARGED = "with another charge or spin"
"""A copy of `BASE` for models that take a total charge or spin."""
USER = "your structure"

_OFF_TABLE = 1.0137
"""Factor of cells in which atoms meet their own images. Without it their distance, 0.45 or 0.9 cutoffs, is the end of
an interval of radial tables with 20 k intervals, where rounding decides between two polynomials, and the distance at
which the cutoff function of many SevenNet models has a jump in its second derivative."""

FIVE_POINTS = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])


def rattled_grid(
    symbols: Sequence[str | int],
    repeat: tuple[int, int, int],
    spacing: float,
    rattle: float,
    rng: np.random.Generator,
    shape: ArrayLike = TRICLINIC,
) -> Atoms:
    """Return a rattled periodic grid.

    Parameters
    ----------
    symbols
        Symbol or atomic number of each grid point.
    repeat
        Number of points along each cell vector.
    spacing, rattle
        Distance between points, and standard deviation of the displacements, in angstrom.
    shape
        Cell of one grid point in units of ``spacing``, shape (3, 3).
    """
    grid = grid_points(repeat)
    atoms = Atoms(list(symbols), cell=spacing * np.array(repeat)[:, None] * np.asarray(shape), pbc=True)
    atoms.set_scaled_positions((grid + 0.5) / np.array(repeat))
    atoms.positions += rng.normal(scale=rattle, size=atoms.positions.shape)
    return atoms


def grid_points(repeat: tuple[int, int, int]) -> NDArray[np.int64]:
    """Return the points of a grid, shape (n, 3); the last index varies fastest."""
    return np.stack(np.meshgrid(*map(np.arange, repeat), indexing="ij"), axis=-1).reshape(-1, 3)


def small_probes(elements: tuple[str, ...], cutoff: float) -> Iterator[Atoms]:
    """Yield isolated atoms, pairs within and beyond the cutoff, a chain, and rattled triclinic cells (fixed seed)."""
    rng = np.random.default_rng(7)
    symbols = [symbol for symbol in elements if symbol in chemical_symbols]
    for symbol in symbols:
        yield Atoms([symbol])
    first, last = symbols[0], symbols[-1]
    yield Atoms([first, last], positions=[[0, 0, 0], [0.3 * cutoff, 0.2 * cutoff, 0.1 * cutoff]])
    yield Atoms([first, last], positions=[[0, 0, 0], [1.2 * cutoff, 0, 0]])
    yield Atoms([first, last, first], positions=[[0, 0, 0], [0.6 * cutoff, 0, 0], [1.2 * cutoff, 0.1, 0]])
    for n in (2, 3):
        together = symbols
        if len(symbols) > _MOST_TOGETHER:
            together = list(rng.choice(symbols, size=_OF_MANY, replace=False))
        grid = np.array(list(np.ndindex(n, n, n))) / n
        cell = 0.42 * cutoff * n * np.array([[1.0, 0, 0], [0.2, 1.05, 0], [-0.1, 0.15, 0.95]])
        positions = grid @ cell + rng.normal(scale=0.02 * cutoff, size=grid.shape)
        yield Atoms(list(rng.choice(together, size=len(grid))), positions=positions, cell=cell, pbc=True)


def close_pairs(elements: tuple[str, ...]) -> Iterator[Atoms]:
    """Yield pairs closer than the sum of their covalent radii: consecutive elements, and equal ones unless many."""
    for first, following in zip(elements, (*elements[1:], elements[0]), strict=True):
        for second in sorted({first, following} if len(elements) <= _MOST_EQUAL_PAIRS else {following}):
            reach = covalent_radii[atomic_numbers[first]] + covalent_radii[atomic_numbers[second]]
            yield Atoms([first, second], positions=[[0, 0, 0], [0.48 * reach, 0.36 * reach, 0]])


def large_probes(elements: Sequence[str], cutoff: float) -> dict[str, Atoms]:
    """Return structures of all ``elements`` by name.

    Parameters
    ----------
    cutoff
        Cutoff in angstrom; all distances scale with it.
    """
    known = [symbol for symbol in elements if symbol in atomic_numbers]
    repeat = (3, 3, 4) if len(known) <= 36 else (5, 5, 5)
    slab = _grid(known, (3, 3, 2), TRICLINIC, cutoff, seed=2)
    slab.center(vacuum=1.5 * cutoff, axis=2)
    slab.pbc = (True, True, False)
    structures = {
        BASE: _grid(known, repeat, TRICLINIC, cutoff, seed=0),
        SHEARED: _grid(known, (2, 2, 3), _OFF_TABLE * SHEARED_SHAPE, cutoff, seed=1),
        SMALL: _grid(known, (1, 1, 2), _OFF_TABLE * TRICLINIC, cutoff, seed=3),
        MOLECULE: _molecule(known, cutoff),
        "slab, open along z": slab,
    }
    cluster = _grid(known, (3, 3, 3), TRICLINIC, cutoff, seed=6)
    cluster.pbc = False
    structures[CLUSTER] = cluster
    cell = 4.0 * cutoff * np.eye(3)
    for symbol in known[:MOST_ISOLATED]:
        structures[f"isolated {symbol}"] = Atoms([symbol], cell=cell, pbc=True)
    return structures


def _grid(elements: Sequence[str], repeat: tuple[int, int, int], shape: NDArray, cutoff: float, seed: int) -> Atoms:
    rng = np.random.default_rng(seed)
    # Elements repeat in turn, so that a structure contains every element of a long list.
    symbols = rng.permutation([elements[k % len(elements)] for k in range(int(np.prod(repeat)))])
    return rattled_grid(symbols, repeat, SPACING * cutoff, RATTLE * cutoff, rng, shape)


def _molecule(elements: Sequence[str], cutoff: float) -> Atoms:
    """Return five atoms within the cutoff of each other near a corner of a large box."""
    rng = np.random.default_rng(4)
    positions = 0.35 * cutoff * FIVE_POINTS + rng.normal(scale=RATTLE * cutoff, size=(5, 3))
    atoms = Atoms([elements[k % len(elements)] for k in range(5)], positions=positions, cell=5 * cutoff * TRICLINIC)
    atoms.pbc = True
    atoms.positions += 0.1 * atoms.cell[:].sum(axis=0)
    return atoms
