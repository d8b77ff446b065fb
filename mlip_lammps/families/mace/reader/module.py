"""Access to the record of a torch module: children, attributes and arrays by name."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive
from mlip_lammps.families.checkpoints.pickle_reader import Record
from mlip_lammps.families.irreps import Entry, linear_fan_in, linear_matrices, linear_pairs

_MISSING = object()


class Module:
    """Record of a torch module at ``path`` (its name in the ``state_dict``) of ``archive``."""

    def __init__(self, record: Any, archive: TorchArchive, path: str):
        self.path = path
        self.source = archive.name
        self._archive = archive
        if isinstance(record, Record) and record.name == "torch.fx.graph_module.reduce_graph_module":
            raise UnsupportedModelError(
                f"{self.label} was traced by torch.fx, as mace-torch does for torch.compile; save the model as it was "
                "trained"
            )
        if not isinstance(record, Record) or not isinstance(record.state, dict):
            raise ModelFileError(f"{self.label} is not a torch module; copy or save the model again")
        self.full_name = record.name
        self._state = record.state

    @property
    def label(self) -> str:
        """Name for error messages."""
        return f"{self.path or 'the model'} of {self.source}"

    @property
    def class_name(self) -> str:
        return self.full_name.rpartition(".")[2]

    def require_class(self, name: str) -> None:
        """Raise unless the class is ``name``."""
        if self.class_name != name:
            raise UnsupportedModelError(
                f"{self.label} is a {self.full_name}, but this package supports {name} there; train with {name}"
            )

    def between(self, features: tuple[Entry, ...], harmonics: tuple[Entry, ...]) -> "Module":
        """Return this tensor product of features and spherical harmonics; some files do not repeat their irreps."""
        return self

    def attribute(self, name: str, default: Any = _MISSING) -> Any:
        """Return a plain attribute, or ``default`` if files of older versions lack the attribute."""
        if name in self._state:
            return self._state[name]
        if default is _MISSING:
            raise ModelFileError(
                f"{self.label} lacks the attribute {name}; load the model with mace-torch and save it again"
            )
        return default

    def has_attribute(self, name: str) -> bool:
        return name in self._state

    def require_absent(self, name: str) -> None:
        """Raise if the attribute ``name`` exists and is neither None nor False."""
        value = self._state.get(name)
        if value is not None and value is not False:
            raise UnsupportedModelError(f"{self.label} uses {name}, which is not supported; train without it")

    def has_child(self, name: str) -> bool:
        return name in self._table("_modules")

    def is_empty(self, name: str) -> bool:
        """Return whether the submodule ``name`` is None."""
        return self.has_child(name) and self._table("_modules")[name] is None

    def child(self, name: str) -> "Module":
        """Return the submodule ``name``."""
        if not self.has_child(name):
            raise UnsupportedModelError(
                f"{self.label} ({self.full_name}) lacks {name}, so it is not a known MACE model; give a MACE or "
                "ScaleShiftMACE model"
            )
        record, path = self._table("_modules")[name], f"{self.path}.{name}".lstrip(".")
        kind = ADAPTED.get(record.name, Module) if isinstance(record, Record) else Module
        return kind(record, self._archive, path)

    def children(self) -> list["Module"]:
        """Return the submodules in order."""
        return [self.child(name) for name in self._table("_modules")]

    def modules(self) -> list["Module"]:
        """Return the submodules that have a state; functions and traced graphs have none."""
        records = self._table("_modules")
        named = [name for name, record in records.items() if isinstance(getattr(record, "state", None), dict)]
        return [self.child(name) for name in named]

    def parameters(self) -> list[NDArray[np.generic]]:
        """Return the parameters of this module without those of its submodules."""
        return [self.array(name) for name, record in self._table("_parameters").items() if record is not None]

    def has_array(self, name: str) -> bool:
        return any(name in self._table(table) for table in ("_parameters", "_buffers"))

    def array(self, name: str) -> NDArray[np.generic]:
        """Return a parameter or buffer."""
        for table in ("_parameters", "_buffers"):
            if name in self._table(table):
                return self._archive.array(self._table(table)[name], f"{self.path}.{name}".lstrip("."))
        raise ModelFileError(f"{self.label} lacks the array {name}; copy or save the model again")

    def precision(self, name: str) -> np.dtype:
        """Return the type of the numbers of an array in the file."""
        return self.array(name).dtype

    def number(self, name: str) -> float:
        """Return a number stored as a plain attribute, a NumPy scalar, a buffer or a parameter."""
        value = self._state.get(name)
        if isinstance(value, int | float):
            return float(value)
        if isinstance(value, Record):
            value = _numpy_scalar(value)
            array = np.asarray(value) if value is not None else self._archive.array(self._state[name], name)
        else:
            array = self.array(name)
        if array.size != 1:
            raise UnsupportedModelError(
                f"{self.label} has {array.size} values of {name}, expected one; train with a single value"
            )
        return float(array.reshape(-1)[0])

    def irreps(self, name: str) -> tuple[Entry, ...]:
        """Return the irreps in attribute ``name``."""
        try:
            ((entries,),) = [self.attribute(name).args]
            pairs = [entry.args[0] for entry in entries]
            return tuple(_entry(mul, *irrep.args[0]) for mul, irrep in pairs)
        except (AttributeError, ValueError, TypeError, IndexError) as error:
            raise ModelFileError(
                f"{name} of {self.label} does not contain irreps; copy or save the model again"
            ) from error

    def _table(self, name: str) -> dict:
        table = self._state.get(name, {})
        if not isinstance(table, dict):
            raise ModelFileError(
                f"{name} of {self.label} is a {type(table).__name__}, expected a dictionary; copy or save the model "
                "again"
            )
        return table


class AdaptedModule(Module):
    """A module that mace-torch wrapped for low-rank adaptation (LoRA), with its adaptation merged into its weight.

    It has the class, the attributes and the path of the module inside. Merged weights are float64, because the trained
    model adds the two parts without rounding their sum.
    """

    def __init__(self, record: Any, archive: TorchArchive, path: str):
        outer = Module(record, archive, path)
        super().__init__(outer._table("_modules")["base"], archive, path)
        self._outer = outer

    def array(self, name: str) -> NDArray[np.generic]:
        base = super().array(name)
        if name != "weight":
            return base
        change = self._change(base.astype(np.float64))
        return base + self._outer.number("scaling") * change.reshape(base.shape)

    def precision(self, name: str) -> np.dtype:
        return super().array(name).dtype

    def _change(self, base: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the product of the two low-rank matrices in the layout of the weight."""
        if self._outer.class_name == "LoRAFCLayer":
            return self._low_rank(self._outer, "lora_A") @ self._low_rank(self._outer, "lora_B")
        first, second = (self._outer.child(name) for name in ("lora_A", "lora_B"))
        if self._outer.class_name == "LoRADenseLinear":
            return self._low_rank(second, "weight") @ self._low_rank(first, "weight")
        given, between, wanted = self.irreps("irreps_in"), first.irreps("irreps_out"), self.irreps("irreps_out")
        before = linear_matrices(self._low_rank(first, "weight"), given, between)
        after = linear_matrices(self._low_rank(second, "weight"), between, wanted)
        blocks = []
        for i, k in linear_pairs(given, wanted):
            through = [before[i, m] @ after[m, k] for m in range(len(between)) if (i, m) in before and (m, k) in after]
            shape = given[i].mul, wanted[k].mul
            normalization = linear_fan_in(given, wanted, k) ** 0.5
            blocks.append(normalization * sum(through, np.zeros(shape)).reshape(-1))
        return np.concatenate(blocks)

    @staticmethod
    def _low_rank(module: Module, name: str) -> NDArray[np.float64]:
        return module.array(name).astype(np.float64)


ADAPTED: dict[str, type[Module]] = {
    f"mace.modules.lora.{name}": AdaptedModule for name in ("LoRAO3Linear", "LoRADenseLinear", "LoRAFCLayer")
}
"""Classes that show other modules as those of e3nn, by the names of these modules."""


def _entry(mul: Any, order: Any, parity: Any) -> Entry:
    are_integers = all(type(value) is int for value in (mul, order, parity))
    if not are_integers or not (0 < mul < 10**6 and 0 <= order < 100 and parity in (-1, 1)):
        raise ValueError("not an irrep")
    return Entry(mul, order, parity)


def _numpy_scalar(record: Record) -> np.generic | None:
    """Return the value of a pickled NumPy scalar, or None for any other record."""
    if not record.name.endswith("multiarray.scalar") or len(record.args) != 2:
        return None
    kind, content = record.args
    code = kind.args[0] if isinstance(kind, Record) and kind.name == "numpy.dtype" and kind.args else None
    if isinstance(content, Record) and content.name == "_codecs.encode" and content.args:
        text = content.args[0]
        content = text.encode("latin1", "replace") if isinstance(text, str) else None
    if code not in ("f8", "f4", "i8") or not isinstance(content, bytes) or len(content) != int(code[1]):
        found = code[:8] if isinstance(code, str) else type(code).__name__
        raise ModelFileError(
            f"the model file contains a NumPy scalar of type {found}, expected f8, f4 or i8 with its bytes; "
            "save the model again"
        )
    return np.frombuffer(content, dtype="<" + code)[0]
