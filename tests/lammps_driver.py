"""Evaluate the structures of ``parity_structures`` in one LAMMPS session; arguments: MODEL OUTPUT.npz.

Run it on any number of ranks. For each structure, the output contains energy, forces, node energies, stress (for a
fully periodic cell), the edges of all ranks, and the number of atoms of each rank.
"""

import sys
from pathlib import Path

import numpy as np
from lammps_structures import parity_structures

from mlip_lammps.engines.lammps.session import LammpsSession
from mlip_lammps.model_file.archive import read_metadata


def main(model: Path, output: Path) -> None:
    metadata = read_metadata(model)
    results = {}
    with LammpsSession() as session:
        ranks = session.communicator
        for name, atoms in parity_structures(metadata["elements"]).items():
            session.set_structure(atoms)
            session.set_model(model)
            found = session.evaluate()
            edges = session.edges()
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
                f"{name}/edge_atoms": edges[0],
                f"{name}/edge_vectors": edges[1],
                f"{name}/n_owned": n_owned,
            }
            if found.stress is not None:
                results[f"{name}/stress"] = found.stress
    if results:
        np.savez(output, **results)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
