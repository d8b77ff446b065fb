"""Evaluates the structures of ``parity_structures`` in one LAMMPS session: MODEL EDGE_LIBRARY OUTPUT.npz.

Run it on any number of ranks. For each structure the output holds energy, forces, node energies, stress (in a fully
periodic cell), the edges of all ranks with their vectors in the frame of LAMMPS, and the atoms that each rank owns.
"""

import sys
from pathlib import Path

import numpy as np
from lammps_edges import edges_of_rank
from lammps_structures import parity_structures

from mlip_lammps.engines.lammps_session import LammpsSession
from mlip_lammps.export.archive import read_metadata


def main(model: Path, edge_library: Path, output: Path) -> None:
    metadata = read_metadata(model)
    results = {}
    with LammpsSession() as session:
        ranks = session.communicator
        for name, atoms in parity_structures(metadata["elements"]).items():
            session.set_structure(atoms)
            session.set_model(model)
            found = session.evaluate()
            n_types = len(set(atoms.get_chemical_symbols()))
            edges = ranks.gather(edges_of_rank(edge_library, session.lammps, n_types, metadata["cutoff"]))
            n_owned = ranks.gather(session.lammps.extract_setting("nlocal"))
            everywhere = ranks.gather(found)
            if ranks.rank != 0:
                continue
            for other in everywhere:
                np.testing.assert_array_equal(other.forces, found.forces)
                np.testing.assert_array_equal(other.energy, found.energy)
            results |= {
                f"{name}/energy": found.energy,
                f"{name}/forces": found.forces,
                f"{name}/node_energies": found.node_energies,
                f"{name}/edge_atoms": np.concatenate([tags for tags, _ in edges]),
                f"{name}/edge_vectors": np.concatenate([vectors for _, vectors in edges]),
                f"{name}/n_owned": n_owned,
            }
            if found.stress is not None:
                results[f"{name}/stress"] = found.stress
    if results:
        np.savez(output, **results)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
