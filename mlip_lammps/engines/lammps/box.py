"""The LAMMPS box of a structure, and its settings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

MARGIN = 1.0
"""Distance between the atoms and a non-periodic boundary, in angstrom."""


@dataclass(frozen=True)
class BoxSettings:
    """Settings of LAMMPS that do not change the structure.

    Attributes
    ----------
    before_box, after_atoms
        Commands before the box is created, and after the atoms are in it.
    box_options
        Additional arguments of ``create_box``.
    elements
        Element symbol of each atom type, in order; the sorted elements of the structure if None.
    has_map
        Whether LAMMPS has a map from atom IDs to atoms.
    """

    before_box: str = ""
    box_options: str = ""
    after_atoms: str = ""
    elements: tuple[str, ...] | None = None
    has_map: bool = True


NO_SETTINGS = BoxSettings()


def box_commands(prism: Prism, pbc: Sequence[bool], elements: Sequence[str], settings: BoxSettings) -> str:
    """Return the commands that clear LAMMPS and create a box."""
    xx, yy, zz, xy, xz, yz = prism.get_lammps_prism()
    lines = [
        "clear",
        "units metal",
        "atom_style atomic",
        *(["atom_modify map yes"] if settings.has_map else []),
        "newton on",
        f"boundary {' '.join('p' if periodic else 'm' for periodic in pbc)}",
        "box tilt large",
        settings.before_box,
        f"region mlip_box prism 0 {xx:.17g} 0 {yy:.17g} 0 {zz:.17g} {xy:.17g} {xz:.17g} {yz:.17g} units box",
        f"create_box {len(elements)} mlip_box {settings.box_options}",
        *(f"mass {k} {atomic_masses[atomic_numbers[e]]:.17g}" for k, e in enumerate(elements, 1)),
    ]
    return "\n".join(lines)


def is_turned(atoms: Atoms) -> bool:
    """Return whether LAMMPS rotates ``atoms``: in its frame, a is along x and b is in the xy plane."""
    prism, _ = fit_box(atoms)
    return not np.allclose(prism.rot_mat, np.eye(3), atol=1e-12)


def in_lammps_frame(atoms: Atoms) -> tuple[Prism, Atoms]:
    """Return the LAMMPS box of a structure, and the structure in it: a along x and b in the xy plane."""
    prism, positions = fit_box(atoms)
    xx, yy, zz, xy, xz, yz = prism.get_lammps_prism()
    cell = [[xx, 0.0, 0.0], [xy, yy, 0.0], [xz, yz, zz]]
    return prism, Atoms(atoms.numbers, prism.vector_to_lammps(positions), cell=cell, pbc=atoms.pbc)


def fit_box(atoms: Atoms) -> tuple[Prism, NDArray[np.float64]]:
    """Return the LAMMPS box and the positions before their rotation.

    Non-periodic directions are extended to contain the atoms. They are perpendicular to the others, because LAMMPS
    tilts a box only along periodic directions. They are as close to x, y and z as possible, so that LAMMPS rotates the
    atoms only if necessary.
    """
    cell = np.array(atoms.cell)
    pbc = np.asarray(atoms.pbc)
    positions = atoms.get_positions()
    basis = cell[pbc]
    for k in np.flatnonzero(~pbc):
        across = np.eye(3) - np.linalg.pinv(basis) @ basis  # rows: components of x, y, z perpendicular to the others
        lengths = np.linalg.norm(across, axis=1)
        axis = k if lengths[k] > 0.5 else lengths.argmax()
        direction = across[axis] / lengths[axis]
        height = positions @ direction
        cell[k] = direction * (np.ptp(height) + 2 * MARGIN)
        positions += (MARGIN - height.min()) * direction
        basis = np.vstack([basis, direction])
    return Prism(cell, pbc=pbc), positions
