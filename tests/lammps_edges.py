"""The edges that the pair style makes of LAMMPS' neighbour list: its own ``edges.cpp`` behind a C function."""

import ctypes
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.engines.plugin import source_folder

if TYPE_CHECKING:
    from lammps import lammps

NEIGHBOUR_MASK = 0x1FFFFFFF
"""NEIGHMASK of LAMMPS: the bits above hold the kind of a special bond."""

WRAPPER = r"""
#include "edges.h"
extern "C" int64_t list_edges(int n_local, int n_ghost, const double *positions, const int *types,
                              const int *species_of_type, int n_centres, const int *centres, const int *counts,
                              const int *const *rows, int mask, double cutoff, int *atoms, double *vectors)
{
  mlip::Edges edges;
  edges.build({n_local, n_ghost, positions, types, species_of_type}, {n_centres, centres, counts, rows, mask}, cutoff);
  const mlip::Graph graph = edges.graph();
  for (int64_t edge = 0; edge < graph.n_edges; edge++) {
    atoms[2 * edge] = edges.atom_of_row(graph.edge_centre[edge]);
    atoms[2 * edge + 1] = edges.atom_of_row(graph.edge_neighbour[edge]);
    for (int k = 0; k < 3; k++) vectors[3 * edge + k] = graph.edge_vectors[3 * edge + k];
  }
  return graph.n_edges;
}
"""


def build_edge_library(folder: Path) -> Path:
    """Compile ``edges.cpp`` and return the library."""
    wrapper, library = folder / "wrapper.cpp", folder / "libedges.so"
    wrapper.write_text(WRAPPER)
    sources = source_folder()
    command = ["g++", "-std=c++17", "-O1", "-shared", "-fPIC", f"-I{sources}", wrapper, sources / "edges.cpp"]
    subprocess.run([*command, "-o", library], check=True, capture_output=True, timeout=60)
    return library


def edges_of_rank(
    library: Path, lmp: "lammps", n_types: int, cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the edges of this rank's atoms after a run, in the frame of LAMMPS.

    Returns
    -------
    tags
        From 0, of centre and neighbour, shape (n_edges, 2).
    vectors
        Angstrom, shape (n_edges, 3).
    """
    n_local, n_ghost = lmp.extract_setting("nlocal"), lmp.extract_setting("nghost")
    index = lmp.find_pair_neighlist("mlip/torch", exact=True)
    n_centres = lmp.get_neighlist_size(index)
    centres = np.zeros(max(n_centres, 1), dtype=np.int32)
    counts = np.zeros(n_local + 1, dtype=np.int32)
    rows = (ctypes.POINTER(ctypes.c_int) * (n_local + 1))()
    for k in range(n_centres):
        centre, count, row = lmp.get_neighlist_element_neighbors(index, k)
        centres[k], counts[centre], rows[centre] = centre, count, row
    n_candidates = int(counts.sum()) + 1
    atoms, vectors = np.zeros((n_candidates, 2), dtype=np.int32), np.zeros((n_candidates, 3))
    positions, types = _copy(lmp, "x", n_local + n_ghost, 3), _copy(lmp, "type", n_local + n_ghost, 1)
    species = np.arange(-1, n_types, dtype=np.int32)
    function = ctypes.CDLL(str(library)).list_edges
    function.restype = ctypes.c_int64
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    function.argtypes = [integer, integer, pointer, pointer, pointer, integer, pointer, pointer, pointer, integer]
    function.argtypes += [ctypes.c_double, pointer, pointer]
    n_edges = function(
        n_local,
        n_ghost,
        positions.ctypes.data,
        types.ctypes.data,
        species.ctypes.data,
        n_centres,
        centres.ctypes.data,
        counts.ctypes.data,
        ctypes.addressof(rows),
        NEIGHBOUR_MASK,
        cutoff,
        atoms.ctypes.data,
        vectors.ctypes.data,
    )
    tags = _copy(lmp, "id", n_local + n_ghost, 1).ravel().astype(np.int64) - 1
    return tags[atoms[:n_edges]].reshape(n_edges, 2), vectors[:n_edges]


def _copy(lmp: "lammps", name: str, n_rows: int, width: int) -> NDArray[np.generic]:
    """Return a property of owned and ghost atoms; of no atoms where there are none."""
    kind = np.float64 if name == "x" else np.int32
    if n_rows == 0:
        return np.zeros((1, width), dtype=kind)[:0]
    return np.array(lmp.numpy.extract_atom(name, nelem=n_rows, dim=width), dtype=kind).reshape(n_rows, width)
