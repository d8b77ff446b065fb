"""Interfaces of the operators of models, and the operators of each backend.

Operators are the parts of a program that need speed. A backend has them in modules of its folder.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mlip_lammps.kernels.expansion import ClusterExpansion
from mlip_lammps.kernels.lowered import LoweredModel
from mlip_lammps.kernels.symmetry_functions import SymmetryFunctions


@dataclass(frozen=True)
class TableInput:
    """Tables of pairs of elements as an input of programs, shape (n_tables, n_values)."""

    name: str
    n_values: int
    dtype: torch.dtype


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


class Operators(Protocol):
    """What every set of operators has."""

    def table_inputs(self, t: int) -> tuple[TableInput, ...]:
        """Return the tables of pairs of elements that layer ``t`` takes as inputs; most operators take none."""

    def compile(self) -> None:
        """Compile the native code of the operators, if any."""

    def code(self) -> OperatorCode:
        """Return the code for the model file; call ``compile`` first."""


class LayerOperators(Operators, Protocol):
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

    def received(
        self,
        t: int,
        features: Tensor,
        vectors: Tensor,
        centre: Tensor,
        source: Tensor,
        like: Tensor,
        pairs: Tensor | None = None,
        tables: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the sum over neighbours of layer ``t`` before its linear map, with a convolution flat.

        ``like`` has one row for each centre; for the other parameters see ``messages``.
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

    def pair_tables(self, t: int, pairs: Tensor) -> dict[str, Tensor]:
        """Return the tables of layer ``t`` for pairs i * n_elements + j, shape (n_tables,), by name."""


class ExpansionOperators(Operators, Protocol):
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


class SymmetryOperators(Operators, Protocol):
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


class NoOperators:
    """Operators of a plain-torch model: none."""

    def table_inputs(self, t: int) -> tuple[TableInput, ...]:
        return ()

    def compile(self) -> None:
        return

    def code(self) -> OperatorCode:
        return OperatorCode()


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
