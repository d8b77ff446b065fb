"""LAMMPS data files for ``ase.Atoms``."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.data import atomic_masses_iupac2016, atomic_numbers

from mlip_lammps.core.arguments import require_instance, require_path, require_words
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.handedness import right_handed

_HEADER_SIZE = 10_000
"""Characters that contain the header of a data file."""

_MASS_TOLERANCE = 0.1
"""Largest difference in amu between a mass and that of its element: Co and Ni differ by 0.24."""


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


def is_lammps_data(path: Path) -> bool:
    """Return whether a file is named like a LAMMPS data file (``*.data``, ``data.*``) and has the header of one."""
    if path.suffix != ".data" and not path.name.startswith("data."):
        return False
    with path.open(errors="replace") as file:
        return re.search(r"^\s*\d+\s+atoms\b", file.read(_HEADER_SIZE), re.MULTILINE) is not None


def read_lammps_data(path: Path) -> Atoms:
    """Return the structure in a data file, periodic in three directions.

    The units are those that ``write_data`` states in the first line, otherwise metal. The elements are those of the
    atom type labels, of the comments in the section Masses, or of the masses, in this order.

    Raises
    ------
    UserInputError
        If the element of an atom type is not found.
    """
    with path.open(errors="replace") as file:
        stated = re.search(r"units = (\w+)", file.readline())
    units = "metal" if stated is None else stated[1]
    return ase.io.read(path, format="lammps-data", units=units, Z_of_type=_numbers_of_types(path))


def _numbers_of_types(path: Path) -> dict[int, int]:
    """Return the atomic number of each atom type."""
    labels = {kind: words[0] for kind, words, _ in _section(path, "Atom Type Labels")}
    masses = {kind: (float(words[0]), comment) for kind, words, comment in _section(path, "Masses")}
    if not labels and not masses:
        raise UserInputError(f"{path} has neither atom type labels nor masses; add one of them to name the elements")
    found = {}
    for kind in labels.keys() | masses.keys():
        mass, comment = masses.get(kind, (0.0, ""))
        names = [name for name in (labels.get(kind), comment) if name in atomic_numbers]
        number = atomic_numbers[names[0]] if names else _element_of_mass(mass)
        if number is None:
            raise UserInputError(
                f"atom type {kind} of {path} has the mass {mass:g}, that of no element within {_MASS_TOLERANCE:g} amu; "
                f"name the element in a comment in the section Masses, for example: {kind} {mass:g} # Si"
            )
        found[kind] = number
    return found


def _section(path: Path, title: str) -> Iterator[tuple[int, list[str], str]]:
    """Yield the atom type, the other words and the comment of each line of a section."""
    is_inside = False
    for line in path.read_text().splitlines():
        text, _, comment = line.partition("#")
        words = text.split()
        if words and words[0].isdigit():
            if is_inside:
                yield int(words[0]), words[1:], comment.strip()
        elif words:
            is_inside = text.strip() == title


def _element_of_mass(mass: float) -> int | None:
    differences = np.abs(atomic_masses_iupac2016[1:] - mass)
    number = int(np.argmin(differences)) + 1
    return number if differences[number - 1] <= _MASS_TOLERANCE else None


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
