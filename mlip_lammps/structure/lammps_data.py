"""LAMMPS data files of ``ase.Atoms``."""

import re
from collections.abc import Sequence
from pathlib import Path

import ase.io
from ase import Atoms
from ase.data import atomic_numbers

from mlip_lammps.core.errors import UserInputError


def write_lammps_data(path: Path, atoms: Atoms, elements: Sequence[str]) -> None:
    """Write ``atoms`` as a data file of atom style atomic in metal units, with masses.

    Parameters
    ----------
    path
        File to write.
    atoms
        Structure; LAMMPS takes the cell turned into its own orientation.
    elements
        Symbol of each atom type, in order: the order of ``pair_coeff * * model.pt2 ...``. An element without
        an atom keeps its type.

    Raises
    ------
    UserInputError
        If an atom's element is not in ``elements``, or one of these is no element.
    """
    if unknown := [symbol for symbol in elements if symbol not in atomic_numbers]:
        raise UserInputError(f"{' '.join(unknown)}: no chemical symbol; name an element for each atom type")
    missing = sorted(set(atoms.get_chemical_symbols()) - set(elements))
    if missing:
        raise UserInputError(
            f"the structure has {' '.join(missing)}, and the atom types are {' '.join(elements)}; "
            "name every element of the structure"
        )
    ase.io.write(path, atoms, format="lammps-data", specorder=list(elements), units="metal", masses=True)


def count_atoms(path: Path) -> int:
    """Return the number of atoms that the header of a data file names.

    Raises
    ------
    UserInputError
        If there is no such line.
    """
    match = re.search(r"^\s*(\d+)\s+atoms\b", path.read_text(), re.MULTILINE)
    if match is None:
        raise UserInputError(f"{path} names no number of atoms; expected a LAMMPS data file")
    return int(match[1])
