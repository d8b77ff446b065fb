"""Handedness of a cell."""

import numpy as np
from ase import Atoms


def right_handed(atoms: Atoms) -> Atoms:
    """Return a structure whose cell vectors are right-handed; the atoms stay where they are.

    Notes
    -----
    The lattice is the same with one vector reversed, so a left-handed cell has its first periodic vector reversed.
    Reversing the handedness by a rotation of the atoms is not possible; a reflection would change a chiral structure.
    """
    if np.linalg.det(atoms.cell[:]) >= 0:
        return atoms
    turned, signs = atoms.copy(), np.ones((3, 1))
    signs[np.argmax(atoms.pbc)] = -1.0
    turned.set_cell(atoms.cell[:] * signs)
    return turned
