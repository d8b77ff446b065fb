"""The backend of a CPU: programs traced with C++ operators, compiled with AOTInductor for this machine."""

import subprocess
from dataclasses import dataclass
from importlib.metadata import version

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.core.limits import FINE_TABLE_FORCE, TABLE_FORCE
from mlip_lammps.core.machine import machine_record
from mlip_lammps.kernels.backend import CompiledCode, CompileRequest
from mlip_lammps.model_file.contract import FINE_TABLE


@dataclass(frozen=True)
class CpuBackend:
    """See ``Backend``.

    Attributes
    ----------
    has_fine_tables
        Whether radial tables are finer than most models need.
    """

    has_fine_tables: bool = False

    runs_on = "cpu"
    duration = "for this machine, about a minute"

    def check_options(self, radial: str) -> None:
        return

    def fingerprint(self) -> dict[str, object]:
        return {"torch": version("torch"), "machine": machine_record()}

    def compile(self, request: CompileRequest) -> CompiledCode:
        import torch

        from mlip_lammps.kernels.cpu.simd import compiler_version

        try:
            compiler = compiler_version()
        except (OSError, subprocess.CalledProcessError):
            raise UserInputError("no C++ compiler; install it with: apt-get install g++") from None
        has_kernels = request.lowered is not None and not request.lowered.has_attention
        radial = FINE_TABLE if self.has_fine_tables else request.radial
        code = request.compile_programs("cpu" if has_kernels or request.has_operators else "torch", radial)
        record = {
            **code.record,
            "torch_version": torch.__version__,
            "compiler": compiler,
            "machine": machine_record(),
        }
        return CompiledCode(record, code.tables)

    def largest_table_error(self, dtype: str) -> float:
        needs_check = dtype == "float64" and not self.has_fine_tables
        return FINE_TABLE_FORCE if needs_check else TABLE_FORCE[dtype]

    def retry(self) -> "CpuBackend | None":
        return None if self.has_fine_tables else CpuBackend(has_fine_tables=True)


def backend(device: str) -> CpuBackend:
    """Return the backend of device ``cpu``."""
    return CpuBackend()
