"""Modules of a packaged NequIP model, as records of its pickle. This module does not import torch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import PackageArchive
from mlip_lammps.families.checkpoints.pickle_reader import GlobalName, Record
from mlip_lammps.families.irreps import Entry

_MISSING = object()
_MOST_MODULES = 20_000
_PROGRAMS = ("nequip", "e3nn", "torch")


class Module:
    """A module, by its name in the model and the record of its state.

    Raises
    ------
    ModelFileError
        If the record is not a module.
    UnsupportedModelError
        If its class is of another program than NequIP, e3nn or torch.
    """

    def __init__(self, record: Any, archive: PackageArchive, path: str = ""):
        self._archive, self.path = archive, path
        if not isinstance(record, Record) or not isinstance(record.state, dict):
            raise ModelFileError(f"{self.label} is not a module; copy the file again")
        self.full_name, self._state = record.name, record.state
        package = record.name.partition(".")[0]
        if package == "allegro":
            raise UnsupportedModelError(
                f"{archive.name} is a model of Allegro ({record.name}), another architecture, which this package does "
                "not read; use pair_style allegro"
            )
        if package not in _PROGRAMS:
            raise UnsupportedModelError(f"{self.label} is a {record.name}, which is not a class of NequIP")

    @property
    def label(self) -> str:
        """Name for error messages."""
        return f"{self.path or 'the model'} of {self._archive.name}"

    @property
    def class_name(self) -> str:
        return self.full_name.rpartition(".")[2]

    def require_class(self, *names: str) -> None:
        """Raise unless the class has one of these names."""
        if self.class_name not in names:
            raise UnsupportedModelError(
                f"{self.label} is a {self.full_name}, and this package supports {' or '.join(names)} there"
            )

    def child(self, name: str, *classes: str) -> "Module":
        """Return a submodule, which has one of these classes."""
        if self._table("_modules").get(name) is None:
            raise UnsupportedModelError(f"{self.label} ({self.full_name}) lacks {name}, so it is not a known model")
        found = Module(self._table("_modules")[name], self._archive, f"{self.path}.{name}".lstrip("."))
        if classes:
            found.require_class(*classes)
        return found

    def child_names(self) -> list[str]:
        """Return the names of the submodules in order."""
        return [name for name, record in self._table("_modules").items() if record is not None]

    def walk(self) -> Iterator["Module"]:
        """Yield the module and all modules in it, each before those in it."""
        found, waiting = 0, [self]
        while waiting:
            module = waiting.pop()
            found += 1
            if found > _MOST_MODULES:  # as in a file where modules contain each other
                raise ModelFileError(f"{self.label} has more than {_MOST_MODULES} modules; copy the file again")
            yield module
            waiting += [module.child(name) for name in reversed(module.child_names())]

    def value(self, name: str, default: Any = _MISSING) -> Any:
        """Return a plain attribute; a class or function of the file is its name."""
        if name not in self._state and default is _MISSING:
            raise ModelFileError(f"{self.label} lacks the attribute {name}; copy the file again")
        found = self._state.get(name, default)
        return found.name if isinstance(found, GlobalName) else found

    def require(self, name: str, expected: Any, default: Any = _MISSING) -> None:
        """Raise unless an attribute has the expected value."""
        found = self.value(name, default)
        if found != expected:
            raise UnsupportedModelError(
                f"{name} of {self.label} is {str(found)[:60]}, and this package supports {expected}"
            )

    def whole(self, name: str) -> int:
        """Return a whole number, which may be stored as a float."""
        found = self.value(name)
        if isinstance(found, bool) or not isinstance(found, int | float) or found != int(found):
            raise ModelFileError(f"{name} of {self.label} is {str(found)[:40]}, expected a whole number")
        return int(found)

    def number(self, name: str) -> float:
        """Return a number, stored as an attribute or as a tensor with one value."""
        found = self._state.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool):
            return float(found)
        array = self.array(name)
        if array.size != 1:
            raise ModelFileError(f"{name} of {self.label} has {array.size} values, expected one; copy the file again")
        return float(array.reshape(-1)[0])

    def irreps(self, name: str) -> tuple[Entry, ...]:
        """Return the irreps in an attribute."""
        return self.irreps_of(self.value(name), name)

    def irreps_of(self, record: Any, name: str) -> tuple[Entry, ...]:
        """Return the irreps in a record."""
        try:
            ((entries,),) = [record.args]
            pairs = [entry.args[0] for entry in entries]
            return tuple(_entry(mul, *irrep.args[0]) for mul, irrep in pairs)
        except (AttributeError, ValueError, TypeError, IndexError) as error:
            raise ModelFileError(f"{name} of {self.label} does not contain irreps; copy the file again") from error

    def has_array(self, name: str) -> bool:
        return any(self._table(table).get(name) is not None for table in ("_parameters", "_buffers"))

    def array(self, name: str) -> NDArray[np.generic]:
        """Return a parameter or buffer."""
        for table in ("_parameters", "_buffers"):
            if self._table(table).get(name) is not None:
                return self._archive.array(self._table(table)[name], f"{self.path}.{name}")
        raise ModelFileError(f"{self.label} lacks the array {name}; copy the file again")

    def records(self) -> Iterator[tuple[str, Any, bool]]:
        """Yield the name in the model, the record and whether it is a parameter, of all arrays of all modules."""
        for module in self.walk():
            for table in ("_parameters", "_buffers"):
                for name, record in module._table(table).items():
                    if record is not None:
                        yield f"{module.path}.{name}", record, table == "_parameters"

    def _table(self, name: str) -> dict[str, Any]:
        table = self._state.get(name, {})
        if not isinstance(table, dict):
            raise ModelFileError(f"{name} of {self.label} is not a dictionary; copy the file again")
        return table


def _entry(mul: Any, order: Any, parity: Any) -> Entry:
    are_integers = all(type(value) is int for value in (mul, order, parity))
    if not are_integers or not (0 < mul < 10**6 and 0 <= order < 100 and parity in (-1, 1)):
        raise ValueError("not an irrep")
    return Entry(mul, order, parity)
