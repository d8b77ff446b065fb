"""The GPU plan of a model: kernels, their launches in each phase, buffers and weights.

``pair_style/model/gpu/gpu_plan.h`` reads the output of ``GpuPlan.as_dict``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from mlip_lammps.kernels.gpu.shapes import WARP, padded_channels
from mlip_lammps.kernels.gpu.source import WARPS_OF_A_BLOCK, Kernel, KernelSource
from mlip_lammps.kernels.pair_tables import PairKinds
from mlip_lammps.kernels.radial_functions import table_record
from mlip_lammps.kernels.radial_table import RadialTable

_ALIGNMENT = 256


class Group(tuple[str, ...]):
    """Parameters that a kernel receives as one struct."""


EDGES = Group(("int n_local", "const int *first", "const int *source", "const double *vectors"))
"""Parameters of kernels on edges; ``edge_arguments`` returns the arguments."""


@dataclass
class GpuPlan:
    """Kernels, buffers, weights and phases of a model; methods add entries.

    Attributes
    ----------
    n_channels
        Number of channels of each layer of the trained model; the kernels may pad it.
    has_fine_tables
        Whether radial tables have a higher degree, for models that need it.
    """

    dtype: torch.dtype
    n_elements: int
    n_channels: tuple[int, ...]
    has_fine_tables: bool = False
    structs: list[str] = field(default_factory=list)
    kernels: list[Kernel] = field(default_factory=list)
    buffers: dict[str, dict] = field(default_factory=dict)
    weights: dict[str, bytes] = field(default_factory=dict)
    phases: dict[str, list[dict]] = field(default_factory=dict)
    tables: list[tuple[RadialTable, Tensor | None, PairKinds | None]] = field(default_factory=list)

    @property
    def source(self) -> KernelSource:
        return KernelSource(tuple(self.structs), tuple(self.kernels))

    def radial_functions(self) -> list[Callable[..., Tensor]]:
        """Return the tabulated convolution weights of each layer, without padded channels.

        They take distances, and with pair tables the atomic numbers of centres and neighbours, see `TabulatedPairs`.
        """

        def of_layer(
            table: RadialTable, expansion: Tensor | None, kinds: PairKinds | None, n_channels: int
        ) -> Callable[..., Tensor]:
            rounded = replace(table, coefficients=table.coefficients.to(self.dtype).to(torch.float64))
            padded = padded_channels(n_channels)

            def functions(distances: Tensor, numbers: Tensor | None = None) -> Tensor:
                values = rounded.evaluate(distances, None if kinds is None else kinds.of_numbers(numbers))
                values = values if expansion is None else values @ expansion.t()
                return values.unflatten(1, (-1, padded))[:, :, :n_channels].flatten(1)

            return functions

        return [of_layer(*entry, n) for entry, n in zip(self.tables, self.n_channels, strict=True)]

    def table_record(self) -> list[dict[str, float]]:
        return table_record([table for table, *_ in self.tables])

    def as_dict(self) -> dict:
        """Return the content of ``plan.json``."""
        offsets, reached = {}, 0
        for name, content in self.weights.items():
            offsets[name] = reached
            reached += -(-len(content) // _ALIGNMENT) * _ALIGNMENT
        return {
            "value_bytes": self.dtype.itemsize,
            "n_elements": self.n_elements,
            "weights": offsets,
            "buffers": self.buffers,
            "phases": self.phases,
        }

    def weight_blob(self) -> bytes:
        """Return the content of ``weights.bin``."""
        return b"".join(
            content.ljust(-(-len(content) // _ALIGNMENT) * _ALIGNMENT, b"\0") for content in self.weights.values()
        )

    def buffer(self, name: str, rows: str, width: int, n_bytes: int | None = None) -> str:
        """Declare an array, or widen an existing one."""
        width = max(width, self.buffers.get(name, {}).get("width", 0))
        self.buffers[name] = {"rows": rows, "width": width, "bytes": n_bytes or self.dtype.itemsize}
        return name

    def weight(self, name: str, tensor: Tensor, dtype: torch.dtype | None = None) -> str:
        self.weights[name] = np.ascontiguousarray(tensor.to(dtype or self.dtype).numpy()).tobytes()
        return name

    def clear(self, phase: str, buffer: str) -> None:
        self.phases.setdefault(phase, []).append({"clear": buffer})

    def copy(self, phase: str, source: str, target: str) -> None:
        self.phases.setdefault(phase, []).append({"copy": source, "to": target})

    def kernel(self, name: str, function: str, *parameters: str | Group, stage: str | None = None) -> None:
        """Add a kernel that calls ``function`` with the warp's position and the parameters, unless it exists.

        Parameters
        ----------
        parameters
            C declarations.
        stage
            Shape whose ``Stage`` is the last argument; None for no such argument.
        """
        if any(kernel.name == name for kernel in self.kernels):
            return
        declared, values = [], ["at"]
        for parameter in parameters:
            members = parameter if isinstance(parameter, Group) else (parameter,)
            names = [_split(member)[1] for member in members]
            declared += map(_split, members)
            values.append(f"{{{', '.join(names)}}}" if isinstance(parameter, Group) else names[0])
        values += ["stage"] if stage is not None else []
        self.kernels.append(Kernel(name, tuple(declared), f"{function}({', '.join(values)});", stage))

    def launch(self, phase: str, kernel: str, rows: str | int, y: int, *arguments, per_warp: int = 1) -> None:
        """Add a launch with one warp per ``per_warp`` rows, or with ``rows`` blocks if ``rows`` is a number."""
        grid = rows if isinstance(rows, int) else {"rows": rows, "per_block": WARPS_OF_A_BLOCK * per_warp}
        described = []
        for value in arguments:
            if isinstance(value, str):
                kind = "buffer" if value in self.buffers else "weight" if value in self.weights else None
                if kind is None:
                    raise KeyError(value)
                described.append([kind, value])
            elif isinstance(value, tuple):
                described.append(list(value))
            else:
                described.append(["int" if isinstance(value, int) else "double", value])
        self.phases.setdefault(phase, []).append(
            {"kernel": kernel, "threads": WARP * WARPS_OF_A_BLOCK, "grid": [grid, y], "args": described}
        )

    def product(self, phase: str, **entries) -> None:
        self.phases.setdefault(phase, []).append({"gemm": entries})


def _split(declaration: str) -> tuple[str, str]:
    """Return the type and the name of a C parameter."""
    c_type, star, name = declaration.rpartition("*" if "*" in declaration else " ")
    return (c_type + star).strip(), name


NULL = ("null",)


def size(name: str) -> tuple[str, str]:
    return ("size", name)


def edge_arguments() -> tuple:
    return size("local"), "first", "source", "vectors"
