"""Interface of a kernel backend, and the backend of each device; no other module depends on the device.

A backend is a folder beside this file. It provides ``LayerOperators`` for tracing the programs of a model, or it
compiles whole lowered models itself, or both. Finding a backend does not import torch, which takes a second.
"""

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlip_lammps.core.errors import UnsupportedModelError, UserInputError

if TYPE_CHECKING:
    from torch import Tensor

    from mlip_lammps.kernels.lowered import LoweredModel
    from mlip_lammps.kernels.operators import OperatorCode

_HOMES = {"cpu": "mlip_lammps.kernels.cpu", "cuda": "mlip_lammps.kernels.gpu", "emulated": "mlip_lammps.kernels.gpu"}
"""Backend package of each device; ``emulated`` runs the GPU kernels and the GPU engine on the CPU, for tests."""

DEVICES = tuple(_HOMES)


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
        Function that traces the programs of the model with operators (``torch`` or a backend's name) and a form of
        radial functions, compiles them with AOTInductor into ``output`` and returns the code of the operators.
    """

    lowered: "LoweredModel | None"
    family: str
    dtype: str
    radial: str
    smallest: list[list[float]]
    output: Path
    scratch: Path
    progress: Callable[[str], None]
    compile_programs: "Callable[[str, str], OperatorCode]"
    has_operators: bool = False

    def require_lowered(self, device: str) -> "LoweredModel":
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
    radial_functions: "list[Callable[[Tensor], Tensor]] | None" = None
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

    def largest_table_error(self, dtype: str) -> float:
        """Return the largest force difference due to radial tables, see ``TABLE_FORCE``, before a retry."""

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
