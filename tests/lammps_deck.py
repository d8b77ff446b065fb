"""A LAMMPS input that prints the results that tests compare, and a parser that returns them as `Expected`."""

import numpy as np
from lammps_run import Finished
from lammps_structures import Expected
from numpy.typing import NDArray

from mlip_lammps.engines.lammps.session import BAR_PER_EV_PER_CUBIC_ANGSTROM
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import (
    assert_energies_agree,
    assert_forces_agree,
    assert_node_energies_agree,
    assert_virials_agree,
)

ORDER = ("xx", "yy", "zz", "yz", "xz", "xy")
ATOM_STRESS = {"xx": 1, "yy": 2, "zz": 3, "xy": 4, "xz": 5, "yz": 6}

OUTPUT = f"""
compute e all pe/atom
compute e_sum all reduce sum c_e
compute v all stress/atom NULL
compute v_sum all reduce sum {" ".join(f"c_v[{k}]" for k in range(1, 7))}
compute p all pressure NULL virial
thermo_style custom step pe vol c_e_sum {" ".join(f"c_p[{k}] c_v_sum[{k}]" for k in range(1, 7))}
"""
DIGITS = "thermo_modify format float %.16g"
DUMP = "write_dump all custom dump.out id type fx fy fz c_e {} modify format float %.16g"


def deck(
    style: str = "mlip/torch",
    coeff: str = "",
    *,
    first: str = "",
    atoms: str = "read_data box.data",
    last: str = "",
    runs: str = "run 0",
    units: str = "metal",
    columns: str = "",
    atom_columns: str = "",
) -> str:
    """Return an input of ``first``, the atoms, ``pair_style style``, ``pair_coeff coeff`` lines, ``last`` and the runs.

    ``columns`` are added to the thermo output, ``atom_columns`` to the dump.
    """
    output, dump = f"{OUTPUT.rstrip()} {columns}\n{DIGITS}", DUMP.format(atom_columns)
    return f"units {units}\n{first}\n{atoms}\npair_style {style}\n{coeff}\n{last}\n{output}\n{runs}\n{dump}\n"


def pair_coeff(*lines: object) -> str:
    return "\n".join(f"pair_coeff * * {line}" for line in lines)


def read_results(done: Finished) -> Expected:
    """Return the results of the last step of a run."""
    row, table = done.thermo[-1], done.dump("dump.out")
    scale = row["Volume"] / BAR_PER_EV_PER_CUBIC_ANGSTROM
    pressure = np.array([row[f"c_p[{ATOM_STRESS[name]}]"] for name in ORDER])
    return Expected(row["PotEng"], table[:, 2:5], table[:, 5], scale * pressure)


def atom_sums(done: Finished) -> tuple[float, NDArray[np.float64]]:
    """Return the sums over atoms of energies (eV) and of virials (eV, ASE's Voigt order)."""
    row = done.thermo[-1]
    virials = [-row[f"c_v_sum[{ATOM_STRESS[name]}]"] / BAR_PER_EV_PER_CUBIC_ANGSTROM for name in ORDER]
    return row["c_e_sum"], np.array(virials)


def assert_results_agree(found: Expected, expected: Expected) -> None:
    """Raise unless energy, forces, node energies and virial agree within the tolerances of LAMMPS."""
    n_atoms, tolerance = len(expected.forces), tolerances.LAMMPS_ENERGY_PER_ATOM
    assert_energies_agree(found.energy, expected.energy, n_atoms, tolerance)
    assert_node_energies_agree(found.node_energies, expected.node_energies, tolerance)
    assert_forces_agree(found.forces, expected.forces, tolerances.LAMMPS_FORCE)
    per_atom = tolerances.LAMMPS_VIRIAL_PER_ATOM
    assert_virials_agree(found.virial / n_atoms, expected.virial / n_atoms, per_atom)
