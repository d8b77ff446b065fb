"""Symmetric copies of structures, for verification."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.probes import BASE, MOLECULE
from mlip_lammps.structure.voigt import tensor_of, voigt_of

MOST_CLUSTER_ATOMS = 100
ROTATION = "rotation"


def has_known_moments(atoms: Atoms) -> bool:
    """Return whether every engine gives nine-component per-atom virials: only for small clusters without images.

    The reference computes one gradient per atom.
    """
    return not atoms.pbc.any() and 1 < len(atoms) <= MOST_CLUSTER_ATOMS


def isolated_atoms(elements: Sequence[str]) -> dict[str, Atoms]:
    """Return one isolated atom of each element, without a cell."""
    return {f"isolated {symbol}": Atoms([symbol]) for symbol in elements if symbol in atomic_numbers}


@dataclass(frozen=True)
class Symmetry:
    """A structure whose results follow from those of another structure.

    Attributes
    ----------
    of
        Name of the original structure.
    expect
        Maps the results of the original structure to the expected results of this one.
    """

    of: str
    atoms: Atoms
    expect: Callable[[Evaluation], Evaluation]


def make_symmetries(structures: dict[str, Atoms], n_atoms: int, rotated: str = MOLECULE) -> dict[str, Symmetry]:
    """Return structures that differ from one of ``structures`` by a symmetry operation, by the name of the operation.

    Parameters
    ----------
    n_atoms
        Lower bound (exclusive) on the number of atoms of the supercell.
    rotated
        Structure that is rotated; one without periods if atoms interact with those of other cells.
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
        "translation": Symmetry(BASE, shifted, lambda results: results),
        "unwrapped coordinates": Symmetry(BASE, unwrapped, lambda results: results),
        "permutation": Symmetry(BASE, base[order], lambda results: _reordered(results, order)),
        ROTATION: _rotated(rotated, structures[rotated], rng),
        "supercell": _supercell(base, n_atoms),
    }


def _rotated(name: str, molecule: Atoms, rng: np.random.Generator) -> Symmetry:
    """Return a molecule rotated about its centre in the same box."""
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.linalg.det(turn)
    turned = molecule.copy()
    centre = molecule.positions.mean(axis=0)
    turned.positions = (molecule.positions - centre) @ turn + centre

    def expect(results: Evaluation) -> Evaluation:
        virial = None if results.virial is None else voigt_of(turn.T @ tensor_of(results.virial) @ turn)
        return Evaluation(results.energy, results.node_energies, results.forces @ turn, virial)

    return Symmetry(name, turned, expect)


def _reordered(results: Evaluation, order: np.ndarray) -> Evaluation:
    return Evaluation(results.energy, results.node_energies[order], results.forces[order], results.virial)


def _supercell(cell: Atoms, n_atoms: int) -> Symmetry:
    """Return a supercell of ``cell`` with more than ``n_atoms`` atoms."""
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

    return Symmetry(BASE, cell.repeat(repeat), expect)
