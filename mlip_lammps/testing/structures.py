"""Structures for tests: rattled and triclinic, so that no force vanishes by symmetry and sign errors show."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import molecule

from mlip_lammps.structure.probes import FIVE_POINTS, TRICLINIC, grid_points, rattled_grid


def rattled_triclinic(
    elements: Sequence[str | int] = ("H", "O"),
    repeat: tuple[int, int, int] = (2, 2, 3),
    spacing: float = 2.4,
    rattle: float = 0.15,
    seed: int = 0,
) -> Atoms:
    """Return a rattled grid of mixed elements in a triclinic cell.

    Parameters
    ----------
    elements
        Symbols or atomic numbers; each occurs about equally often, in random order.
    repeat
        Number of atoms along each cell vector.
    spacing
        Distance between atoms in angstrom.
    rattle
        Standard deviation of the displacements in angstrom.
    """
    rng = np.random.default_rng(seed)
    symbols = _mix(elements, int(np.prod(repeat)), rng)
    return rattled_grid(symbols, repeat, spacing, rattle, rng)


def smaller_than_cutoff(elements: Sequence[str | int] = ("H", "O"), length: float = 2.6, seed: int = 0) -> Atoms:
    """Return two atoms in a triclinic cell of about ``length`` (angstrom), shorter than typical cutoffs."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(_mix(elements, 2, rng), cell=length * TRICLINIC, pbc=True)
    atoms.set_scaled_positions([[0.1, 0.2, 0.15], [0.55, 0.7, 0.6]])
    atoms.positions += rng.normal(scale=0.05, size=(2, 3))
    return atoms


def isolated_molecule(elements: Sequence[str | int] = ("H", "O"), box: float | None = 30.0, seed: int = 0) -> Atoms:
    """Return five atoms within bonding distance, in a periodic cube of edge ``box`` (angstrom) or without a cell."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(_mix(elements, 5, rng), positions=1.5 * FIVE_POINTS + rng.normal(scale=0.1, size=(5, 3)))
    if box is not None:
        atoms.set_cell(box * TRICLINIC)
        atoms.pbc = True
        atoms.positions += atoms.cell[:].sum(axis=0) / 2
    return atoms


def water_box(repeat: tuple[int, int, int] = (2, 2, 2), density_g_cm3: float = 1.0, seed: int = 0) -> Atoms:
    """Return randomly oriented water molecules on a grid in a periodic triclinic cell of the given density.

    Parameters
    ----------
    repeat
        Number of molecules along each cell vector.
    """
    rng = np.random.default_rng(seed)
    water = molecule("H2O")
    water.positions -= water.get_center_of_mass()
    # 18.015 g/mol over Avogadro's number, in angstrom^3 for a density in g/cm^3.
    volume_each = 18.015 / (0.602214076 * density_g_cm3)
    cell = np.array(repeat)[:, None] * TRICLINIC * (volume_each / np.linalg.det(TRICLINIC)) ** (1 / 3)
    atoms = Atoms(cell=cell, pbc=True)
    for point in grid_points(repeat):
        turned = water.copy()
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        turned.positions = water.positions @ rotation + (point + 0.5) / np.array(repeat) @ cell
        atoms += turned
    return atoms


def _mix(elements: Sequence[str | int], n_atoms: int, rng: np.random.Generator) -> list[str | int]:
    return [elements[k % len(elements)] for k in rng.permutation(n_atoms)]
