"""CPU time of the processes until the first forces, which does not depend on the load of the machine."""

import resource

from lammps_deck import deck, pair_coeff
from lammps_run import run_lammps
from lammps_structures import write_data

from mlip_lammps.testing.structures import rattled_triclinic

MOST_CORE_SECONDS = 2.0
"""Limit in s for one rank from mpiexec to its first forces (measured: 0.9); two ranks start in parallel."""


def core_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_two_ranks_start_within_two_seconds(compile_once, tmp_path):
    elements = ("H", "O")
    write_data(tmp_path / "box.data", rattled_triclinic(elements, repeat=(3, 3, 4), seed=2), elements)
    (tmp_path / "good.pt2").symlink_to(compile_once("two_layers"))
    used = []
    for _ in range(2):  # ranks that wait for each other on a busy machine consume CPU time
        before = core_seconds()
        run_lammps(deck(coeff=pair_coeff("good.pt2 H O")), 2, tmp_path)
        used.append((core_seconds() - before) / 2)
    assert 0.1 < min(used) < MOST_CORE_SECONDS, used
