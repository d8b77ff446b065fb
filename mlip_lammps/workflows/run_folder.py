"""The folder of a run: its record, its results, and the results of finished tasks.

========================  ============================================================================
``run.json``              the record: command, settings, versions, checksums, times
``results.json``          results as numbers
``*.extxyz``              structures, extended XYZ
``run.lock``              process and host that use the folder
``tasks/``                results of finished tasks; the same command continues after them
``earlier/N/``            record, results, structures and plots of earlier runs with other input or settings
========================  ============================================================================
"""

import dataclasses
import fcntl
import hashlib
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import ase.io
import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.global_inputs import global_inputs_in
from mlip_lammps.workflows.tasks import write_text

RECORD = "run.json"
RESULTS = "results.json"
LOCK = "run.lock"
EARLIER = "earlier"
_WRITTEN = (".extxyz", ".png", ".yaml", ".dat", ".html")
"""Endings of further files with results; none of them is a file from which molecular dynamics continues."""

_PACKAGES = ("mlip-lammps", "ase", "phonopy", "spglib", "numpy", "scipy", "torch", "lammps")


class RunFolder:
    """The folder of one run of a command; the ``with`` block locks it and keeps the record up to date.

    Parameters
    ----------
    path
        The folder, created if missing.
    command
        Name of the command.
    settings
        Options of the command by name, from which it can be repeated.
    files
        Input files by name; the record contains their checksums.
    model
        Facts of the model for the record.

    Attributes
    ----------
    earlier
        Folder to which the results of an earlier run with other files, model or settings were moved; None if there
        were none.

    Raises
    ------
    UserInputError
        If the path is that of a file, the folder contains a run of another command, or, at the start of the block,
        another run uses it.
    """

    def __init__(
        self,
        path: Path,
        command: str,
        settings: Mapping[str, Any],
        files: Mapping[str, Path] | None = None,
        model: Mapping[str, Any] | None = None,
    ) -> None:
        if (file := next((part for part in (path, *path.parents) if part.is_file()), None)) is not None:
            raise UserInputError(f"{file} is a file, but --out needs a folder; give the name of a folder")
        self.path = path
        self.earlier: Path | None = None
        earlier = read_record(path) if (path / RECORD).is_file() else {}
        if earlier.get("command", command) != command:
            raise UserInputError(
                f"{path} contains a run of mlip-lammps {earlier['command']}, expected one of {command}; give another "
                "folder with --out"
            )
        for file in (files or {}).values():
            if Path(file).resolve().parent == path.resolve():
                raise UserInputError(
                    f"{path} contains the input {file}, which results might replace; give another folder with --out"
                )
        inputs = {
            name: {"path": os.path.abspath(file), "sha256": checksum(file)} for name, file in (files or {}).items()
        }
        given = {"inputs": inputs, "settings": as_table(settings), "model": as_table(model or {})}
        is_same = all(_of_results(earlier.get(name)) == _of_results(value) for name, value in given.items())
        self._seconds_before = earlier.get("seconds", 0.0) if is_same else 0.0
        self._is_same = is_same
        self._start = time.perf_counter()
        self._record = {
            "command": command,
            **given,
            "versions": {name: version(name) for name in _PACKAGES},
            "started": earlier["started"] if is_same else datetime.now(UTC).isoformat(timespec="seconds"),
        }

    @property
    def tasks(self) -> Path:
        """Folder for the results of finished tasks."""
        return self.path / "tasks"

    def __enter__(self) -> "RunFolder":
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.path)
        if not self._is_same:  # results of other settings must not pass for those of this run
            self.earlier = self._move_earlier()
        self._write_record("running")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._write_record("finished")
        elif isinstance(error, UserInputError) and self.earlier is not None:
            self._restore_earlier()
        else:
            is_interrupt = isinstance(error, KeyboardInterrupt)
            self._write_record("interrupted" if is_interrupt else "failed", "" if is_interrupt else str(error))
        self._lock.close()

    def write_results(self, results: Any) -> Path:
        """Write ``results.json``; see `as_table` for its content."""
        file = self.path / RESULTS
        _write_json(file, as_table(results))
        return file

    def write_structures(self, name: str, structures: Atoms | Sequence[Atoms]) -> Path:
        """Write structures as extended XYZ and return the file."""
        file, frames = self.path / f"{name}.extxyz", []
        for atoms in [structures] if isinstance(structures, Atoms) else structures:
            frame = atoms.copy()
            frame.calc, frame.info = atoms.calc, global_inputs_in(atoms.info)  # extended XYZ cannot store anything
            frames.append(frame)
        ase.io.write(file, frames, format="extxyz")
        return file

    def _move_earlier(self) -> Path | None:
        """Move the files of an earlier run with results into a folder of its own and return it."""
        if not (self.path / RESULTS).is_file():
            return None
        number = 1
        while (target := self.path / EARLIER / str(number)).exists():
            number += 1
        target.mkdir(parents=True)
        for file in sorted(self.path.iterdir()):
            if file.name in (RECORD, RESULTS) or file.suffix in _WRITTEN:
                file.rename(target / file.name)
        return target

    def _restore_earlier(self) -> None:
        """Move the files of the earlier run back, because this one was refused."""
        for file in self.earlier.iterdir():
            file.rename(self.path / file.name)
        self.earlier.rmdir()
        self.earlier = None

    def _write_record(self, status: str, error: str = "") -> None:
        seconds = self._seconds_before + time.perf_counter() - self._start
        found = {**self._record, "status": status, "seconds": round(seconds, 3)}
        _write_json(self.path / RECORD, {**found, "error": error} if error else found)


def _of_results(entry: object) -> object:
    """Return an entry of a record without the settings on which results do not depend."""
    if not isinstance(entry, dict):
        return entry
    return {name: value for name, value in entry.items() if name not in ("out", "ranks")}


def _locked(folder: Path) -> TextIO:
    """Return an open file that locks a folder until it is closed; the system also closes it if the process ends."""
    file = (folder / LOCK).open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip() or "another process"
        file.close()
        raise UserInputError(f"{folder} is in use by {owner}; wait for it, or give another folder with --out") from None
    except OSError:  # a file system without locks
        return file
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record of a run.

    Raises
    ------
    UserInputError
        If the folder has no record, or the record is damaged.
    """
    file = folder / RECORD
    if not file.is_file():
        raise UserInputError(f"{folder} has no {RECORD}; give a folder that mlip-lammps wrote with --out")
    try:
        record = json.loads(file.read_text())
        datetime.fromisoformat(record["started"])
        kinds = {name: type(record.get(name, {})) for name in ("settings", "inputs", "model", "versions")}
        if not isinstance(record["command"], str) or set(kinds.values()) != {dict} or "settings" not in record:
            raise ValueError("an entry is missing or of another kind")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserInputError(
            f"{file} is not the record of a run ({error}); delete this file and repeat the command, or give another "
            "folder"
        ) from error
    return record


def checksum(file: Path) -> str:
    """Return the SHA-256 checksum of a file."""
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


def with_results(atoms: Atoms, **results: Any) -> Atoms:
    """Return a copy with energy, forces or stress attached, as extended XYZ stores them."""
    copy = atoms.copy()
    copy.calc = SinglePointCalculator(copy, **{name: value for name, value in results.items() if value is not None})
    return copy


def as_table(value: Any) -> Any:
    """Return a result as dictionaries, lists and numbers.

    Dataclasses become dictionaries with their fields and public properties, arrays become lists, and structures
    their formula, cell vectors and number of atoms: their files contain the rest.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.repr]
        names += [name for name in dir(type(value)) if isinstance(getattr(type(value), name), property)]
        return {name: as_table(getattr(value, name)) for name in names if not name.startswith("_")}
    if isinstance(value, Atoms):
        cell = value.cell[:].tolist()
        return {"formula": value.get_chemical_formula(), "n_atoms": len(value), "cell": cell}
    if isinstance(value, Mapping):
        return {str(key): as_table(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return as_table(value.tolist())
    if isinstance(value, list | tuple):
        return [as_table(item) for item in value]
    if isinstance(value, np.generic):
        return as_table(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None  # JSON has no such number
    return str(value) if isinstance(value, Path) else value


def _write_json(file: Path, table: Any) -> None:
    write_text(file, json.dumps(table, indent=1) + "\n")
