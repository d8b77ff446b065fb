"""Reader of the YAML format ``.yace`` of the PACE library. This module does not import torch."""

import gc
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.ace.parts import Bond, Function, Parts
from mlip_lammps.families.ace.spec import BondSpec, EmbeddingSpec

_KEYS = ("elements", "E0", "deltaSplineBins", "embeddings", "bonds", "functions")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """The safe loader, in C where PyYAML has it, with pairs such as [0, 1] as keys."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep)
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            key = tuple(key) if isinstance(key, list) else key
            if not isinstance(key, Hashable):
                raise yaml.YAMLError(f"the key {key} of a mapping")
            found[key] = self.construct_object(value_node, deep=deep)
        return found


def _construct_map(loader: _Loader, node: yaml.MappingNode):
    found: dict[Hashable, Any] = {}
    yield found
    found.update(loader.construct_mapping(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Stop the search for cycles, which takes more than half of the time among millions of new objects."""
    is_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_enabled:
            gc.enable()


def load_yaml(path: Path, text: str) -> dict[Hashable, Any]:
    """Return the content of a YAML file.

    Raises
    ------
    ModelFileError
        If it is not a mapping in YAML.
    """
    try:
        with _no_garbage_collection():
            found = yaml.load(text, Loader=_Loader)  # a safe loader: numbers, words, lists and mappings
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f" in line {line + 1}"
        raise ModelFileError(f"{path} is not valid YAML{where}; copy the file again") from error
    if not isinstance(found, dict):
        raise ModelFileError(f"{path} is not a mapping in YAML; give a .yace file of the PACE library")
    return found


def read_yace(path: Path, text: str) -> Parts:
    """Read a potential.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If it is another kind of potential in YAML.
    """
    file = load_yaml(path, text)
    refuse_other_kinds(path, file)
    top = _Mapping(path, "the file", file)
    symbols = tuple(str(word) for word in top.list("elements"))
    rows = range(len(symbols))
    if not symbols:
        raise ModelFileError(f"{path} has no elements; copy the file again")
    energies = top.numbers("E0")
    if len(energies) != len(symbols):
        raise ModelFileError(f"{path} has {len(energies)} values E0 for {len(symbols)} elements; copy the file again")
    embeddings = top.mapping("embeddings")
    bonds = top.mapping("bonds")
    functions = top.mapping("functions")
    return Parts(
        path=path,
        symbols=symbols,
        atom_energies=energies,
        embeddings=tuple(_embedding(embeddings.mapping(row, f"the embedding of {symbols[row]}")) for row in rows),
        bonds=tuple(
            tuple(_bond(bonds.mapping((i, j), f"the bond {symbols[i]} {symbols[j]}")) for j in rows) for i in rows
        ),
        spline_width=top.number("deltaSplineBins"),
        functions=tuple(
            tuple(
                _function(_Mapping(path, f"function {k} of {symbols[row]}", one))
                for k, one in enumerate(functions.list(row), start=1)
            )
            for row in rows
        ),
    )


def refuse_other_kinds(path: Path, file: Mapping[Hashable, Any]) -> None:
    """Raise for potentials of pacemaker and of GRACE, which are YAML files as well.

    Raises
    ------
    UnsupportedModelError
        The message names the kind and the way to a file that is supported.
    """
    if "species" in file:
        raise UnsupportedModelError(
            f"{path} is a potential of pacemaker in its B basis, which the PACE library converts first; convert it "
            f"with: pace_yaml2yace {path.name} (Python package python-ace)"
        )
    if "emb_spec" in file or "radial_basis" in file:
        raise UnsupportedModelError(
            f"{path} is a GRACE/FS potential, which has no C-tilde basis and which this package does not support; fit "
            "an ACE potential with pacemaker"
        )
    if any("radbasename" in bond and str(bond["radbasename"]).startswith("ACE.jl") for bond in _bonds_of(file)):
        raise UnsupportedModelError(
            f"{path} has the radial basis of ACE.jl, which this package does not support; refit with pacemaker"
        )
    missing = [key for key in _KEYS if key not in file]
    if missing:
        raise ModelFileError(
            f"{path} lacks {', '.join(missing)}; give a .yace file of the PACE library, or copy the file again"
        )


def _bonds_of(file: Mapping[Hashable, Any]) -> list[Mapping]:
    bonds = file.get("bonds")
    return [bond for bond in bonds.values() if isinstance(bond, dict)] if isinstance(bonds, dict) else []


def _embedding(entry: "_Mapping") -> EmbeddingSpec:
    n_densities, values = entry.integer("ndensity"), entry.numbers("FS_parameters")
    if n_densities < 1 or len(values) < 2 * n_densities:
        raise ModelFileError(
            f"{entry.path} has {len(values)} FS_parameters in {entry.where}, expected two for each of {n_densities} "
            "densities; copy the file again"
        )
    core = entry.number("rho_core_cutoff"), entry.number("drho_core_cutoff")
    return EmbeddingSpec(
        str(entry.value("npoti")), values[: 2 * n_densities : 2], values[1 : 2 * n_densities : 2], *core
    )


def _bond(entry: "_Mapping") -> Bond:
    parameters = entry.numbers("radparameters")
    if not parameters:
        raise ModelFileError(f"{entry.path} has no radparameters in {entry.where}; copy the file again")
    shape = entry.integer("nradmax"), entry.integer("lmax") + 1, entry.integer("nradbasemax")
    spec = BondSpec(
        str(entry.value("radbasename")),
        parameters[0],
        *(entry.number(key) for key in ("rcut", "dcut", "prehc", "lambdahc")),
        *(entry.number(key) if key in entry.entries else 0.0 for key in ("rcut_in", "dcut_in")),
    )
    inner = entry.entries.get("inner_cutoff_type", "density")
    return Bond(spec, entry.array("radcoefficients", shape), str(inner))


def _function(entry: "_Mapping") -> Function:
    rank, n_terms, n_densities = (entry.integer(key) for key in ("rank", "num_ms_combs", "ndensity"))
    mus, ns, ls = (entry.integers(key) for key in ("mus", "ns", "ls"))
    ms = entry.array("ms_combs", (n_terms * rank,)).astype(np.int64).reshape(n_terms, rank)
    coefficients = entry.array("ctildes", (n_terms * n_densities,)).reshape(n_terms, n_densities)
    return Function(mus, ns, ls, ms, coefficients)


class _Mapping:
    """Entries of a mapping with the errors of their absence."""

    def __init__(self, path: Path, where: str, entries: Any):
        self.path, self.where = path, where
        if not isinstance(entries, dict):
            raise ModelFileError(f"{path} has no mapping for {where}; copy the file again")
        self.entries = entries

    def value(self, key: Hashable) -> Any:
        if key not in self.entries:
            raise ModelFileError(f"{self.path} lacks {_text(key)} in {self.where}; copy the file again")
        return self.entries[key]

    def mapping(self, key: Hashable, where: str | None = None) -> "_Mapping":
        return _Mapping(self.path, where or str(key), self.value(key))

    def list(self, key: Hashable) -> list[Any]:
        found = self.value(key)
        if not isinstance(found, list):
            raise self._error(key, "a list")
        return found

    def number(self, key: Hashable) -> float:
        return float(self.array(key, ()))

    def integer(self, key: Hashable) -> int:
        return self._integer(key, self.value(key))

    def integers(self, key: Hashable) -> tuple[int, ...]:
        return tuple(self._integer(key, one) for one in self.list(key))

    def numbers(self, key: Hashable) -> tuple[float, ...]:
        return tuple(map(float, self.array(key, (len(self.list(key)),))))

    def array(self, key: Hashable, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return numbers in an array of a shape; those that are not finite are refused later."""
        try:
            found = np.array(self.value(key), dtype=np.float64)
        except (TypeError, ValueError):
            raise self._error(key, "numbers") from None
        if found.shape != shape and not found.size == 0 == np.prod(shape):
            raise self._error(key, f"the shape {shape}")
        return found.reshape(shape)

    def _integer(self, key: Hashable, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._error(key, "integers")
        return value

    def _error(self, key: Hashable, expected: str) -> ModelFileError:
        return ModelFileError(
            f"{self.path} has {_text(key)} {str(self.entries[key])[:40]} in {self.where}, expected {expected}; copy "
            "the file again"
        )


def _text(key: Hashable) -> str:
    return str(list(key)) if isinstance(key, tuple) else str(key)
