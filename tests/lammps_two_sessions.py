"""Alternate between two LAMMPS sessions in one process; arguments: MODEL OTHER_MODEL."""

import sys

from ase import Atoms

from mlip_lammps.engines.lammps.session import LammpsSession
from mlip_lammps.model_file.archive import read_metadata
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_forces_agree, assert_virials_agree
from mlip_lammps.testing.structures import rattled_triclinic, smaller_than_cutoff


def evaluate(session: LammpsSession, atoms: Atoms, model: str) -> Evaluation:
    session.set_structure(atoms)
    session.set_model(model)
    return session.evaluate()


def main(model: str, other_model: str) -> None:
    large = rattled_triclinic(read_metadata(model)["elements"], seed=1)
    small = smaller_than_cutoff(read_metadata(other_model)["elements"], seed=2)
    with LammpsSession() as first:
        alone = evaluate(first, large, model)
    with LammpsSession() as first, LammpsSession() as second:
        evaluate(first, large, model)
        evaluate(second, small, other_model)
        for _ in range(2):
            again = first.evaluate()
            second.evaluate()
            assert_forces_agree(again.forces, alone.forces, tolerances.LAMMPS_FORCE)
            assert_virials_agree(again.stress, alone.stress, tolerances.LAMMPS_FORCE, "eV/angstrom^3")


if __name__ == "__main__":
    main(*sys.argv[1:])
