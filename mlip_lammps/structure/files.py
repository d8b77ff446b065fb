"""Reading structures from files."""

import itertools
from collections.abc import Container, Iterable, Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.structure.lammps_data import is_lammps_data, read_lammps_data


def read_structure(path: Path, elements: Sequence[str]) -> Atoms:
    """Return the first frame of a file that ASE reads, with its charge and spin.

    Raises
    ------
    UserInputError
        If the file cannot be read, has no atoms, or contains an element that the model does not know.
    """
    atoms = _read(path, 0)
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(elements))
    if len(atoms) == 0 or unknown:
        found = f"contains {', '.join(unknown)}" if unknown else "has no atoms"
        raise UserInputError(f"{path} {found}, but the model knows {', '.join(elements)}; give another structure")
    return _clean(atoms)


def read_structures(paths: Iterable[Path | str]) -> dict[str, Atoms]:
    """Return all frames of files that ASE reads, with their constraints, charges and spins.

    Returns
    -------
    dict
        Structures by name: the stem of the file, followed by the number of the frame if there are several, and by a
        count if names repeat.

    Raises
    ------
    UserInputError
        If there is no file, or a file cannot be read or has no atoms.
    """
    found: dict[str, Atoms] = {}
    for path in map(Path, paths):
        frames = _read(path, ":")
        stem = path.name.split(".")[0] or path.name
        for number, atoms in enumerate(frames):
            if len(atoms) == 0:
                raise UserInputError(f"frame {number} of {path} has no atoms; give another structure")
            if any(min(site.values()) < 1 for site in atoms.info.get("occupancy", {}).values()):
                raise UserInputError(f"{path} has partially occupied sites; give a structure with whole atoms")
            name = stem if len(frames) == 1 else f"{stem}-{number}"
            name = _unused(name, found)
            clean = _clean(atoms)
            clean.set_tags(atoms.get_tags())
            clean.set_constraint(atoms.constraints)
            found[name] = clean
    if not found:
        raise UserInputError("no structure is given; give one or more files in a format of ase.io")
    return found


def _clean(atoms: Atoms) -> Atoms:
    """Return a structure without results and without what formats add to ``info``."""
    given = global_inputs_in(atoms.info).items()
    info = {name: value.item() if isinstance(value, np.generic) else value for name, value in given}
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=info)


def _unused(name: str, names: Container[str]) -> str:
    """Return a name, followed by the first count from 2 that makes it different from others."""
    if name not in names:
        return name
    return next(f"{name}-{count}" for count in itertools.count(2) if f"{name}-{count}" not in names)


def _read(path: Path, index: int | str) -> Atoms | list[Atoms]:
    try:
        if path.is_file() and is_lammps_data(path):
            atoms = read_lammps_data(path)
            return [atoms] if index == ":" else atoms
        found = ase.io.read(path, index=index)
    except UserInputError:
        raise
    except Exception as error:  # each format raises its own exceptions, some of them without a message
        reason = str(error) or "the contents do not follow the format of this ending"
        raise UserInputError(f"ASE cannot read {path}: {reason}; give a file in a format of ase.io") from error
    if not found:
        raise UserInputError(f"{path} contains no structure; give a file in a format of ase.io or a LAMMPS data file")
    return found
