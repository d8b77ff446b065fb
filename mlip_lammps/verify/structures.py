"""Structures of a verification: rattled and triclinic, so that no force vanishes by symmetry and no sign can hide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.voigt import tensor_of, voigt_of

SPACING = 0.45
"""Between atoms, as a part of the cutoff: about 45 neighbours inside it."""

RATTLE = 0.03
"""Standard deviation of displacements, as a part of the cutoff."""

MOST_ISOLATED = 8
"""Elements whose isolated atoms are evaluated in LAMMPS."""

_CELL = np.array([[1.0, 0.0, 0.0], [0.18, 0.94, 0.0], [-0.12, 0.15, 1.07]])
_SHEARED = np.array([[1.0, 0.0, 0.0], [0.8, 0.9, 0.0], [-0.7, 0.75, 1.1]])

BASE = "triclinic"
SMALL = "smaller than the cutoff"
SHEARED = "sheared"
MOLECULE = "molecule in a corner"
"""It leaves ranks without atoms."""
CLUSTER = "isolated cluster"
"""Spread over all ranks, without images."""
MOST_CLUSTER_ATOMS = 100
USER = "your structure"
ROTATION = "rotation"


def make_structures(elements: Sequence[str], cutoff: float) -> dict[str, Atoms]:
    """Return structures of all ``elements`` by name.

    Parameters
    ----------
    cutoff
        Angstrom; distances follow it.
    """
    known = [symbol for symbol in elements if symbol in atomic_numbers]
    repeat = (3, 3, 4) if len(known) <= 36 else (5, 5, 5)
    slab = _grid(known, (3, 3, 2), _CELL, cutoff, seed=2)
    slab.center(vacuum=1.5 * cutoff, axis=2)
    slab.pbc = (True, True, False)
    structures = {
        BASE: _grid(known, repeat, _CELL, cutoff, seed=0),
        SHEARED: _grid(known, (2, 2, 3), _SHEARED, cutoff, seed=1),
        SMALL: _grid(known, (1, 1, 2), _CELL, cutoff, seed=3),
        MOLECULE: _molecule(known, cutoff),
        "slab, open along z": slab,
    }
    cluster = _grid(known, (3, 3, 3), _CELL, cutoff, seed=6)
    cluster.pbc = False
    structures[CLUSTER] = cluster
    cell = 4.0 * cutoff * np.eye(3)
    for symbol in known[:MOST_ISOLATED]:
        structures[f"isolated {symbol}"] = Atoms([symbol], cell=cell, pbc=True)
    return structures


def has_known_moments(atoms: Atoms) -> bool:
    """Return whether every engine gives nine components of the virials of atoms: no images, and few atoms.

    The reference takes a gradient for each atom.
    """
    return not atoms.pbc.any() and 1 < len(atoms) <= MOST_CLUSTER_ATOMS


def isolated_atoms(elements: Sequence[str]) -> dict[str, Atoms]:
    """Return every element alone, without a cell."""
    return {f"isolated {symbol}": Atoms([symbol]) for symbol in elements if symbol in atomic_numbers}


def _grid(elements: Sequence[str], repeat: tuple[int, int, int], shape: np.ndarray, cutoff: float, seed: int) -> Atoms:
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*map(np.arange, repeat), indexing="ij"), axis=-1).reshape(-1, 3)
    # Every element first, the rest in turns: the last ones of a long table are not left out.
    symbols = rng.permutation([elements[k % len(elements)] for k in range(len(grid))])
    atoms = Atoms(list(symbols), cell=SPACING * cutoff * np.array(repeat)[:, None] * shape, pbc=True)
    atoms.set_scaled_positions((grid + 0.5) / np.array(repeat))
    atoms.positions += rng.normal(scale=RATTLE * cutoff, size=atoms.positions.shape)
    return atoms


def _molecule(elements: Sequence[str], cutoff: float) -> Atoms:
    """Return five atoms within reach of each other near a corner of a large box."""
    rng = np.random.default_rng(4)
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    positions = 0.35 * cutoff * corners + rng.normal(scale=RATTLE * cutoff, size=(5, 3))
    atoms = Atoms([elements[k % len(elements)] for k in range(5)], positions=positions, cell=5 * cutoff * _CELL)
    atoms.pbc = True
    atoms.positions += 0.1 * atoms.cell[:].sum(axis=0)
    return atoms


@dataclass(frozen=True)
class Twin:
    """A structure whose results follow from those of another.

    Attributes
    ----------
    of
        Name of the other.
    expect
        Takes results of the other to those of this one.
    """

    of: str
    atoms: Atoms
    expect: Callable[[Evaluation], Evaluation]


def make_twins(structures: dict[str, Atoms], n_atoms: int) -> dict[str, Twin]:
    """Return structures that differ from one of ``structures`` by a symmetry, named after it.

    Parameters
    ----------
    n_atoms
        The supercell has more.
    """
    rng = np.random.default_rng(5)
    base, n = structures[BASE], len(structures[BASE])
    shifted = base.copy()
    shifted.positions += np.array([0.37, 0.61, 0.43]) @ base.cell[:]
    shifted.wrap()
    unwrapped = base.copy()
    unwrapped.positions += rng.integers(-3, 4, size=(n, 3)) @ base.cell[:]
    order = rng.permutation(n)
    return {
        "translation": Twin(BASE, shifted, lambda results: results),
        "unwrapped coordinates": Twin(BASE, unwrapped, lambda results: results),
        "permutation": Twin(BASE, base[order], lambda results: _reordered(results, order)),
        ROTATION: _rotated(structures[MOLECULE], rng),
        "supercell": _supercell(base, n_atoms),
    }


def _rotated(molecule: Atoms, rng: np.random.Generator) -> Twin:
    """Return a molecule turned about its centre, in the same box."""
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    turned = molecule.copy()
    centre = molecule.positions.mean(axis=0)
    turned.positions = (molecule.positions - centre) @ turn + centre

    def expect(results: Evaluation) -> Evaluation:
        virial = voigt_of(turn.T @ tensor_of(results.virial) @ turn)
        return Evaluation(results.energy, results.node_energies, results.forces @ turn, virial)

    return Twin(MOLECULE, turned, expect)


def _reordered(results: Evaluation, order: np.ndarray) -> Evaluation:
    return Evaluation(results.energy, results.node_energies[order], results.forces[order], results.virial)


def _supercell(cell: Atoms, n_atoms: int) -> Twin:
    """Return copies of a cell side by side, more than ``n_atoms`` atoms."""
    repeat = [2, 2, 2]
    while np.prod(repeat) * len(cell) <= n_atoms:
        repeat[int(np.argmin(repeat * cell.cell.lengths()))] += 1
    n_cells = int(np.prod(repeat))

    def expect(results: Evaluation) -> Evaluation:
        return Evaluation(
            n_cells * results.energy,
            np.tile(results.node_energies, n_cells),
            np.tile(results.forces, (n_cells, 1)),
            n_cells * results.virial,
        )

    return Twin(BASE, cell.repeat(repeat), expect)
