"""Comparison of dumped LAMMPS frames with the ASE calculator for the same box, types and positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from mlip_lammps.engines.ase.calculator import MlipCalculator
from mlip_lammps.testing import tolerances
from mlip_lammps.testing.compare import assert_energies_agree, assert_forces_agree

COLUMNS = "id type x y z fx fy fz c_e"
"""Columns of a dump for `read_frames`; c_e is a compute pe/atom."""


def write_frame(name: str) -> str:
    """Return the LAMMPS command that dumps the current atoms."""
    return f"write_dump all custom {name} {COLUMNS} modify format float %.17g"


@dataclass(frozen=True)
class Frame:
    """Atoms in LAMMPS's orientation, forces in eV/angstrom and atomic energies in eV, sorted by ID."""

    atoms: Atoms
    forces: NDArray[np.float64]
    node_energies: NDArray[np.float64]


def read_frames(path: Path, elements: Sequence[str]) -> list[Frame]:
    """Read a dump of periodic boxes; ``elements`` are the symbols of the atom types."""
    return [_read_frame(text, elements) for text in path.read_text().split("ITEM: TIMESTEP")[1:]]


def _read_frame(text: str, elements: Sequence[str]) -> Frame:
    head, rows = text.split("ITEM: ATOMS")
    bounds = np.array([line.split() for line in head.split("ITEM: BOX BOUNDS")[1].splitlines()[1:4]], dtype=float)
    xy, xz, yz = bounds[:, 2] if bounds.shape[1] == 3 else np.zeros(3)
    # The bounds of a tilted box are those of its bounding box (LAMMPS manual, triclinic boxes).
    lengths = bounds[:, 1] - bounds[:, 0]
    lengths[0] -= max(0.0, xy, xz, xy + xz) - min(0.0, xy, xz, xy + xz)
    lengths[1] -= max(0.0, yz) - min(0.0, yz)
    cell = np.array([[lengths[0], 0.0, 0.0], [xy, lengths[1], 0.0], [xz, yz, lengths[2]]])
    table = np.array([line.split() for line in rows.splitlines()[1:]], dtype=float)
    table = table[np.argsort(table[:, 0])]
    symbols = [elements[int(kind) - 1] for kind in table[:, 1]]
    return Frame(Atoms(symbols, positions=table[:, 2:5], cell=cell, pbc=True), table[:, 5:8], table[:, 8])


def assert_frame_is_the_models(frame: Frame, calculator: MlipCalculator) -> None:
    """Raise unless energies and forces of a frame agree with the calculator."""
    atoms = frame.atoms.copy()
    atoms.calc = calculator
    energy, tolerance = atoms.get_potential_energy(), tolerances.LAMMPS_ENERGY_PER_ATOM
    assert_energies_agree(frame.node_energies.sum(), energy, len(atoms), tolerance)
    assert_forces_agree(frame.forces, atoms.get_forces(), tolerances.LAMMPS_FORCE, atoms.numbers)
