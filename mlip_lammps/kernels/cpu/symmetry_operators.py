"""The C++ kernels of symmetry functions: sums over neighbours and pairs of neighbours."""

from pathlib import Path

from torch import Tensor

from mlip_lammps.kernels.cpu.library import LibraryOperators
from mlip_lammps.kernels.cpu.symmetry_functions import SymmetryShape, symmetry_plan
from mlip_lammps.kernels.symmetry_functions import SymmetryFunctions


class CpuSymmetryFunctions(LibraryOperators):
    """``SymmetryOperators`` in C++, in float64."""

    def __init__(self, functions: SymmetryFunctions, folder: Path):
        super().__init__(folder)
        self.shape = SymmetryShape("Symmetry1", functions.n_elements, functions.n_columns)
        self.shapes = [self.shape]
        self._plan, self._numbers = symmetry_plan(functions)

    def sums(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        arguments = vectors.contiguous(), centre, source, self._plan, self._numbers, centre_species
        return self.library.operators[self.shape.name](*arguments)


def make_operators(functions: SymmetryFunctions, scratch: Path) -> CpuSymmetryFunctions:
    """Return the operators; their library is compiled into ``scratch``."""
    return CpuSymmetryFunctions(functions, scratch)
