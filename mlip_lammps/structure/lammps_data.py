"""LAMMPS data files for ``ase.Atoms``."""

import re
from collections.abc import Sequence
from pathlib import Path

import ase.io
from ase import Atoms
from ase.data import atomic_numbers

from mlip_lammps.core.arguments import require_instance, require_path, require_words
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.handedness import right_handed


def write_lammps_data(path: Path | str, atoms: Atoms, elements: Sequence[str]) -> None:
    """Write ``atoms`` as a data file with masses, atom style atomic and units metal.

    Parameters
    ----------
    path
        File to write.
    atoms
        Structure; its cell is rotated to the orientation that LAMMPS requires.
    elements
        Symbol of each atom type, in the order of ``pair_coeff * * model.pt2 ...``. An element without atoms keeps its
        type.

    Raises
    ------
    UserInputError
        If an argument is invalid, or ``elements`` lacks an element of the structure or contains an unknown symbol.
    """
    require_path("path", path)
    require_instance("atoms", atoms, Atoms, "an ase.Atoms object")
    require_words("elements", elements)
    if unknown := [symbol for symbol in elements if symbol not in atomic_numbers]:
        raise UserInputError(
            f"{' '.join(unknown)} is not a chemical symbol; give one symbol for each atom type, for example H O"
        )
    missing = sorted(set(atoms.get_chemical_symbols()) - set(elements))
    if missing:
        raise UserInputError(
            f"the structure contains {' '.join(missing)}, but the atom types are {' '.join(elements)}; "
            "name every element of the structure"
        )
    ase.io.write(path, right_handed(atoms), format="lammps-data", specorder=list(elements), units="metal", masses=True)


def count_atoms(path: Path) -> int:
    """Return the number of atoms in the header of a data file.

    Raises
    ------
    UserInputError
        If the header has no such line.
    """
    match = re.search(r"^\s*(\d+)\s+atoms\b", path.read_text(), re.MULTILINE)
    if match is None:
        raise UserInputError(f"{path} has no line 'N atoms' in its header; give a LAMMPS data file")
    return int(match[1])
