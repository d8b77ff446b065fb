"""Interface of a kernel backend, and the backend of each device; no other module depends on the device.

A backend is a folder beside this file. It provides ``LayerOperators`` for tracing the programs of a model, or it
compiles whole lowered models itself, or both.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mlip_lammps.core.errors import UnsupportedModelError, UserInputError
from mlip_lammps.kernels.expansion import ClusterExpansion
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.symmetry_functions import SymmetryFunctions

_HOMES = {"cpu": "mlip_lammps.kernels.cpu", "cuda": "mlip_lammps.kernels.gpu", "emulated": "mlip_lammps.kernels.gpu"}
"""Backend package of each device; ``emulated`` runs the GPU kernels and the GPU engine on the CPU, for tests."""

DEVICES = tuple(_HOMES)


@dataclass(frozen=True)
class TableInput:
    """Tables of pairs of elements as an input of programs, shape (n_tables, n_values)."""

    name: str
    n_values: int
    dtype: torch.dtype


class LayerOperators(Protocol):
    """Performance-critical operations of a model's layers, with flat features of shape (rows, components * channels).

    Layers ``t`` count from 1.
    """

    def messages(
        self,
        t: int,
        features: Tensor,
        vectors: Tensor,
        centre: Tensor,
        source: Tensor,
        centre_species: Tensor,
        pairs: Tensor | None = None,
        scalars: Tensor | None = None,
        tables: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the messages of layer ``t`` after their linear map, shape (n_local, message width).

        Parameters
        ----------
        features
            Features of the sources after the linear map ``up``, shape (n_sources, n_in * n_channels); in the first
            layer one row per element.
        vectors, centre
            Edge vectors r_ij in angstrom, shape (n_edges, 3), float64, and centre indices i, shape (n_edges,).
        source
            Row of ``features`` for each edge, shape (n_edges,).
        centre_species
            Species of the centres, shape (n_local,).
        pairs
            Pair of elements of each edge, (species of i) * n_elements + (species of j), shape (n_edges,); None if no
            radial function depends on it.
        scalars
            Scalars of the centres for the radial network, shape (n_local, n_scalars), if the layer has attention; those
            of the sources follow their features.
        tables
            Tables of pairs of elements by name, see ``ProgramSpec``, if the operators have some.
        """

    def density(
        self,
        t: int,
        vectors: Tensor,
        centre: Tensor,
        centre_species: Tensor,
        pairs: Tensor | None = None,
        tables: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the sum over neighbours in the divisor of the messages of layer ``t``, shape (n_local,)."""

    def contract(self, t: int, messages: Tensor, species: Tensor) -> Tensor:
        """Return the products of layer ``t``, shape (n_local, n_out * n_channels)."""

    def linear(self, kind: str, t: int, features: Tensor, species: Tensor) -> Tensor:
        """Return the linear map ``kind`` of layer ``t``, see ``LoweredLayer.linear_map``."""

    def table_inputs(self, t: int) -> tuple[TableInput, ...]:
        """Return the tables of pairs of elements that layer ``t`` takes as inputs; most operators take none."""

    def pair_tables(self, t: int, pairs: Tensor) -> dict[str, Tensor]:
        """Return the tables of layer ``t`` for pairs i * n_elements + j, shape (n_tables,), by name."""

    def compile(self) -> None:
        """Compile the native code of the operators, if any."""

    def code(self) -> "OperatorCode":
        """Return the code for the model file; call ``compile`` first."""


@dataclass(frozen=True)
class OperatorCode:
    """Code and metadata that operators add to a model file.

    Attributes
    ----------
    members
        Files that the programs call, by their names in the archive.
    record
        Metadata entries of the operators.
    shims
        C functions for AOTInductor, the value of its option ``custom_ops_to_c_shims``.
    tables
        Tabulated convolution weights of each layer; None without tables.
    """

    members: Mapping[str, Path] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    shims: Mapping[torch._ops.OpOverload, list[str]] = field(default_factory=dict)
    tables: list[Callable[[Tensor], Tensor]] | None = None


class ExpansionOperators(Protocol):
    """Performance-critical operations of an atomic cluster expansion."""

    def densities(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        """Return the densities of each atom, shape (n_local, n_densities), float64.

        Parameters
        ----------
        vectors
            Edge vectors in angstrom, shape (n_edges, 3), float64.
        centre, source
            Centres i, and species of the neighbours, shape (n_edges,).
        centre_species
            Shape (n_local,).
        """

    def core(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        """Return the core repulsion of each atom in eV, shape (n_local,), float64; arguments as for the densities."""

    def table_inputs(self, t: int) -> tuple[TableInput, ...]:
        """Return nothing: the tables are constants."""

    def compile(self) -> None:
        """Compile the native code."""

    def code(self) -> OperatorCode:
        """Return the code for the model file; call ``compile`` first."""


class SymmetryOperators(Protocol):
    """Performance-critical operations of models with symmetry functions."""

    def sums(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        """Return the sums of each atom, shape (n_local, n_columns), float64.

        Parameters
        ----------
        vectors
            Edge vectors in the unit of the functions, shape (n_edges, 3), float64.
        centre, source
            Centres i, in ascending order, and species of the neighbours, shape (n_edges,).
        centre_species
            Shape (n_local,).
        """

    def table_inputs(self, t: int) -> tuple[TableInput, ...]:
        """Return nothing: there are no tables."""

    def compile(self) -> None:
        """Compile the native code."""

    def code(self) -> OperatorCode:
        """Return the code for the model file; call ``compile`` first."""


class NoOperators:
    """Operators of a plain-torch model: none."""

    def table_inputs(self, t: int) -> tuple[TableInput, ...]:
        return ()

    def compile(self) -> None:
        return

    def code(self) -> OperatorCode:
        return OperatorCode()


@dataclass(frozen=True)
class CompileRequest:
    """A model to compile, and the options.

    Attributes
    ----------
    lowered
        Constants of the layers; None for a plain-torch model.
    has_operators
        Whether a model without ``lowered`` has C++ operators of its own.
    family
        Name of the model's family for error messages.
    dtype, radial
        See ``export_model``.
    smallest
        Distances in angstrom, by pair of elements, below which LAMMPS warns about two atoms.
    output
        Archive to write, without metadata.
    scratch
        Folder for intermediate files.
    progress
        Callback for progress messages.
    compile_programs
        Function that traces the programs of the model with operators (``torch`` or a backend's name), compiles them
        with AOTInductor into ``output`` and returns the code of the operators.
    """

    lowered: LoweredModel | None
    family: str
    dtype: str
    radial: str
    smallest: list[list[float]]
    output: Path
    scratch: Path
    progress: Callable[[str], None]
    compile_programs: Callable[[str], OperatorCode]
    has_operators: bool = False

    def require_lowered(self, device: str) -> LoweredModel:
        """Return the constants of the layers.

        Raises
        ------
        UnsupportedModelError
            If the model is a plain-torch model or has operators of its own, which are for a CPU.
        """
        if self.lowered is None:
            kind = "have kernels for a CPU only, none" if self.has_operators else "are plain torch without kernels"
            raise UnsupportedModelError(f"{self.family} models {kind} for device {device}; export with --device cpu")
        return self.lowered

    def refuse(self, device: str, features: Mapping[str, bool]) -> None:
        """Raise unless the model has none of ``features``, for which the device has no kernels.

        Parameters
        ----------
        features
            Names of features, and whether the model has each.

        Raises
        ------
        UnsupportedModelError
            If the model has one of them.
        """
        found = [name for name, is_present in features.items() if is_present]
        if found:
            raise UnsupportedModelError(
                f"the model has {' and '.join(found)}, which have no kernels for device {device}; "
                "export with --device cpu"
            )


@dataclass(frozen=True)
class CompiledCode:
    """Results of a compilation in addition to the archive.

    Attributes
    ----------
    record
        Metadata entries of the compiled code.
    radial_functions
        Tabulated convolution weights of each layer, as the kernels interpolate them; None without tables.
    check_members
        Files that the archive needs only for the comparison with the reference on this machine.
    """

    record: dict[str, Any]
    radial_functions: list[Callable[[Tensor], Tensor]] | None = None
    check_members: dict[str, bytes] = field(default_factory=dict)


class Backend(Protocol):
    """Compiler of models for a device."""

    runs_on: str
    """Device in the metadata of model files: ``cpu`` or ``cuda``."""
    duration: str
    """Duration of a compilation in words, for progress messages."""

    def check_options(self, radial: str) -> None:
        """Raise ``UserInputError`` if the device does not support the options."""

    def fingerprint(self) -> dict[str, object]:
        """Return the properties of the machine and the compiler that compiled code depends on."""

    def compile(self, request: CompileRequest) -> CompiledCode:
        """Write an archive without metadata.

        Raises
        ------
        UserInputError
            If a compiler is missing or the model has no kernels for the device.
        MlipError
            If compilation fails.
        """

    def retry(self) -> "Backend | None":
        """Return a backend with finer radial tables for models that need them; None if there is none."""


def backend_of(device: str) -> Backend:
    """Return the backend of a device.

    Raises
    ------
    UserInputError
        If there is no such device.
    """
    if not isinstance(device, str) or device not in _HOMES:
        named = ", ".join(name for name in DEVICES if name != "emulated")
        raise UserInputError(f"device {device!r} is not one of {named}; choose one of them")
    return importlib.import_module(f"{_HOMES[device]}.backend").backend(device)


def layer_operators(name: str, model: LoweredModel, dtype: str, radial: str, scratch: Path) -> LayerOperators:
    """Return the operators of a backend (``torch`` or ``cpu``) for a model; see ``export_model`` for ``radial``."""
    module = importlib.import_module(f"mlip_lammps.kernels.{name}.layer_operators")
    return module.make_operators(model, dtype, radial, scratch)


def expansion_operators(name: str, expansion: ClusterExpansion, radial: str, scratch: Path) -> ExpansionOperators:
    """Return the operators of a backend (``cpu``) for an atomic cluster expansion."""
    module = importlib.import_module(f"mlip_lammps.kernels.{name}.expansion_operators")
    return module.make_operators(expansion, radial, scratch)


def symmetry_operators(name: str, functions: SymmetryFunctions, scratch: Path) -> SymmetryOperators:
    """Return the operators of a backend (``torch`` or ``cpu``) for symmetry functions."""
    module = importlib.import_module(f"mlip_lammps.kernels.{name}.symmetry_operators")
    return module.make_operators(functions, scratch)
