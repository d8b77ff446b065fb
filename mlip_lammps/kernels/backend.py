"""What a backend of the kernels is, and which one a device has: nothing else asks for the device.

A backend is a folder beside this file. It does one of two things, or both: it offers ``LayerOperators``, which the
programs of a model are traced with, or it compiles whole lowered models itself.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from mlip_lammps.core.errors import UnsupportedModelError, UserInputError
from mlip_lammps.kernels.lowered import LoweredModel

_HOMES = {"cpu": "mlip_lammps.kernels.cpu", "cuda": "mlip_lammps.kernels.gpu", "emulated": "mlip_lammps.kernels.gpu"}
"""Package of each device's backend; ``emulated`` runs the kernels and the engine of a GPU on the CPU, for tests."""

DEVICES = tuple(_HOMES)


class LayerOperators(Protocol):
    """The hot operations of a model's layers (``t`` from 1), on flat features: (rows, components * channels)."""

    def messages(
        self, t: int, features: Tensor, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor
    ) -> Tensor:
        """Return the messages of layer ``t`` after their linear map, shape (n_local, message width).

        Parameters
        ----------
        features
            Of the sources, after the map ``up``, shape (n_sources, n_in * n_channels); in the first layer one row for
            each element.
        vectors, centre
            r_ij in angstrom, shape (n_edges, 3), float64; i, shape (n_edges,).
        source
            Row of the features for each edge, shape (n_edges,).
        centre_species
            Shape (n_local,).
        """

    def contract(self, t: int, messages: Tensor, species: Tensor) -> Tensor:
        """Return the products of layer ``t``, shape (n_local, n_out * n_channels)."""

    def linear(self, kind: str, t: int, features: Tensor, species: Tensor) -> Tensor:
        """Return the linear map ``mix``, ``up`` or ``skip`` of layer ``t``."""

    def compile(self) -> None:
        """Compile what is native of the operators, if there is any."""

    def code(self) -> "OperatorCode":
        """Return what belongs into the model file, once it has been compiled."""


@dataclass(frozen=True)
class OperatorCode:
    """What operators add to a model file.

    Attributes
    ----------
    members
        Files that the programs call, by their name in the archive.
    record
        What the metadata says of them.
    shims
        How AOTInductor calls them: its option ``custom_ops_to_c_shims``.
    tables
        For each layer cutoff, coefficients and expansion of its radial table; None where the network runs.
    """

    members: Mapping[str, Path] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    shims: Mapping[torch._ops.OpOverload, list[str]] = field(default_factory=dict)
    tables: list[tuple[float, Tensor, Tensor | None]] | None = None


class NoOperators:
    """Operators of a model that is plain torch throughout."""

    def compile(self) -> None:
        return

    def code(self) -> OperatorCode:
        return OperatorCode()


@dataclass(frozen=True)
class CompileRequest:
    """A model that is to be compiled.

    Attributes
    ----------
    lowered
        Constants of its layers; None if it is plain torch.
    family
        Name of the model's family, for messages.
    dtype, radial
        As of ``export_model``.
    smallest
        Distances of pairs of elements below which atoms are reported, angstrom.
    output
        Archive to write, without metadata.
    scratch
        Folder for intermediate files.
    progress
        Takes a line at each step.
    compile_programs
        Has the programs of the model traced with operators (``torch`` or a backend's name) and compiled with
        AOTInductor into ``output``; returns what the operators added.
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

    def require_lowered(self, device: str) -> LoweredModel:
        """Return the constants of the layers.

        Raises
        ------
        UnsupportedModelError
            If the model is plain torch.
        """
        if self.lowered is None:
            raise UnsupportedModelError(
                f"{self.family} models are plain torch, which does not run on device {device}; export with --device cpu"
            )
        return self.lowered


@dataclass(frozen=True)
class CompiledCode:
    """What a compilation leaves besides the archive.

    Attributes
    ----------
    record
        What the metadata says of the compiled code.
    radial_functions
        For each layer, the weights of its convolution as the kernels interpolate them; None where the network runs.
    check_members
        Files that the archive needs while it is compared with the reference on this machine, and not afterwards.
    """

    record: dict[str, Any]
    radial_functions: list[Callable[[Tensor], Tensor]] | None = None
    check_members: dict[str, bytes] = field(default_factory=dict)


class Backend(Protocol):
    """How models are compiled for a device."""

    runs_on: str
    """What a model file says: ``cpu`` or ``cuda``."""
    duration: str
    """How long a compilation takes, in words."""

    def check_options(self, radial: str) -> None:
        """Raise ``UserInputError`` if the options do not fit the device."""

    def fingerprint(self) -> dict[str, object]:
        """Return what compiled code depends on besides its source."""

    def compile(self, request: CompileRequest) -> CompiledCode:
        """Write an archive without metadata.

        Raises
        ------
        UserInputError
            If a compiler is missing or the model has no kernels for the device.
        MlipError
            If something does not compile.
        """

    def retry(self) -> "Backend | None":
        """Return a backend to try when radial tables are too coarse for a model; None if there is none."""


def backend_of(device: str) -> Backend:
    """Return the backend of a device.

    Raises
    ------
    UserInputError
        If there is no such device.
    """
    if device not in _HOMES:
        raise UserInputError(f"device {device!r} is not one of {', '.join(DEVICES)}")
    return importlib.import_module(f"{_HOMES[device]}.backend").backend(device)


def layer_operators(name: str, model: LoweredModel, dtype: str, radial: str, scratch: Path) -> LayerOperators:
    """Return the operators that a backend (``torch`` or ``cpu``) has for a model; ``radial`` as of ``export_model``."""
    module = importlib.import_module(f"mlip_lammps.kernels.{name}.layer_operators")
    return module.make_operators(model, dtype, radial, scratch)
