"""Conversion of symmetric tensors to and from six components in the orders of ASE and LAMMPS."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

VOIGT_INDICES = [0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]
"""Rows and columns of xx yy zz yz xz xy in a tensor."""


def voigt_of(tensor: ArrayLike) -> NDArray[np.float64]:
    """Return the components xx yy zz yz xz xy (ASE's Voigt order) of a symmetric tensor of shape (3, 3)."""
    return np.asarray(tensor)[VOIGT_INDICES]


def tensor_of(voigt: ArrayLike) -> NDArray[np.float64]:
    """Return the symmetric tensor, shape (3, 3), with the components xx yy zz yz xz xy."""
    xx, yy, zz, yz, xz, xy = voigt
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def tensor_of_lammps(components: ArrayLike) -> NDArray[np.float64]:
    """Return the symmetric tensor, shape (3, 3), with the components xx yy zz xy xz yz (LAMMPS order)."""
    xx, yy, zz, xy, xz, yz = components
    return tensor_of((xx, yy, zz, yz, xz, xy))
