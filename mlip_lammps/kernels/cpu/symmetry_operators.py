"""The C++ kernels of symmetry functions: sums over neighbours and pairs of neighbours."""

from functools import cached_property
from pathlib import Path

from torch import Tensor

from mlip_lammps.kernels.cpu.library import KernelLibrary
from mlip_lammps.kernels.cpu.simd import widest_vectors
from mlip_lammps.kernels.cpu.symmetry_functions import SymmetryShape, symmetry_plan
from mlip_lammps.kernels.operators import NoOperators, OperatorCode
from mlip_lammps.kernels.symmetry_functions import SymmetryFunctions
from mlip_lammps.model_file.contract import KERNELS_PATH


class CpuSymmetryFunctions(NoOperators):
    """``SymmetryOperators`` in C++, in float64."""

    def __init__(self, functions: SymmetryFunctions, folder: Path):
        self._folder = folder
        self.shape = SymmetryShape("Symmetry1", functions.n_elements, functions.n_columns)
        self._plan, self._numbers = symmetry_plan(functions)

    @cached_property
    def library(self) -> KernelLibrary:
        """The operators, compiled when they are first asked for."""
        return KernelLibrary([self.shape], self._folder)

    def compile(self) -> None:
        _ = self.library

    def code(self) -> OperatorCode:
        record = {"instruction_set": widest_vectors().instruction_set}
        return OperatorCode({KERNELS_PATH: self.library.path}, record, self.library.shims())

    def sums(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        arguments = vectors.contiguous(), centre, source, self._plan, self._numbers, centre_species
        return self.library.operators[self.shape.name](*arguments)


def make_operators(functions: SymmetryFunctions, scratch: Path) -> CpuSymmetryFunctions:
    """Return the operators; their library is compiled into ``scratch``."""
    return CpuSymmetryFunctions(functions, scratch)
