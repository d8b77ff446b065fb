"""Reading structures from files."""

from collections.abc import Sequence
from pathlib import Path

import ase.io
from ase import Atoms

from mlip_lammps.core.errors import UserInputError


def read_structure(path: Path, elements: Sequence[str]) -> Atoms:
    """Return the first frame of a file that ASE reads.

    Raises
    ------
    UserInputError
        If the file cannot be read, has no atoms, or contains an element that the model does not know.
    """
    try:
        atoms = ase.io.read(path, index=0)
    except Exception as error:  # each format raises its own exceptions
        raise UserInputError(f"ASE cannot read {path}: {error}; give a file in a format of ase.io") from error
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(elements))
    if len(atoms) == 0 or unknown:
        found = f"contains {', '.join(unknown)}" if unknown else "has no atoms"
        raise UserInputError(f"{path} {found}, but the model knows {', '.join(elements)}; give another structure")
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
