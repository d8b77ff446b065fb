"""Prints the energy that a session gives with a model: ``lammps_paths.py MODEL``."""

import sys

from mlip_lammps.engines.lammps import LammpsSession
from mlip_lammps.testing.structures import rattled_triclinic

with LammpsSession() as session:
    session.set_structure(rattled_triclinic(("H", "O"), seed=1))
    session.set_model(sys.argv[1])
    energy = session.evaluate().energy
    if session.communicator.rank == 0:
        print(repr(energy))
