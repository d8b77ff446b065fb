"""Structures of a verification: rattled and triclinic, so that no force vanishes by symmetry and no sign can hide."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from mlip_lammps.workflows.verify_checks import Results

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
    cell = 4.0 * cutoff * np.eye(3)
    for symbol in known[:MOST_ISOLATED]:
        structures[f"isolated {symbol}"] = Atoms([symbol], cell=cell, pbc=True)
    return structures


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
    undo
        Takes results of this structure to those of the other.
    """

    of: str
    atoms: Atoms
    undo: Callable[[Results], Results]


def make_twins(structures: dict[str, Atoms]) -> dict[str, Twin]:
    """Return structures that differ from one of ``structures`` by a symmetry, named after it."""
    rng = np.random.default_rng(5)
    base, n = structures[BASE], len(structures[BASE])
    shifted = base.copy()
    shifted.positions += np.array([0.37, 0.61, 0.43]) @ base.cell[:]
    shifted.wrap()
    unwrapped = base.copy()
    unwrapped.positions += rng.integers(-3, 4, size=(n, 3)) @ base.cell[:]
    order = rng.permutation(n)
    small = structures[SMALL]
    return {
        "translation": Twin(BASE, shifted, lambda results: results),
        "unwrapped coordinates": Twin(BASE, unwrapped, lambda results: results),
        "permutation": Twin(BASE, base[order], lambda results: _reordered(results, np.argsort(order))),
        ROTATION: _rotated(structures[MOLECULE], rng),
        "supercell": Twin(SMALL, small.repeat((2, 2, 2)), lambda results: _one_cell(results, len(small))),
    }


def _rotated(molecule: Atoms, rng: np.random.Generator) -> Twin:
    """Return a molecule turned about its centre, in the same box."""
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    turned = molecule.copy()
    centre = molecule.positions.mean(axis=0)
    turned.positions = (molecule.positions - centre) @ turn + centre

    def undo(results: Results) -> Results:
        xx, yy, zz, yz, xz, xy = results.virial
        tensor = turn @ np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]]) @ turn.T
        virial = tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
        return Results(results.energy, results.node_energies, results.forces @ turn.T, virial)

    return Twin(MOLECULE, turned, undo)


def _reordered(results: Results, order: np.ndarray) -> Results:
    return Results(results.energy, results.node_energies[order], results.forces[order], results.virial)


def _one_cell(results: Results, n_atoms: int) -> Results:
    """Return the results of the cell whose copies a supercell is; its copies agree, or the last one shows it."""
    n_cells = len(results.forces) // n_atoms
    return Results(
        results.energy / n_cells,
        results.node_energies[-n_atoms:],
        results.forces[-n_atoms:],
        results.virial / n_cells,
    )
