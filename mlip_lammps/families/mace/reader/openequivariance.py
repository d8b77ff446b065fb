"""Convolutions that mace-torch replaced by those of OpenEquivariance, seen as the e3nn modules before.

They contain the description of the tensor product and no weights. All other modules of such a file are those of e3nn.
"""

from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive
from mlip_lammps.families.checkpoints.pickle_reader import Record
from mlip_lammps.families.mace.reader.module import ADAPTED, Module

_LIBRARY = "openequivariance"
_PRODUCTS = (
    f"{_LIBRARY}._torch.TensorProduct.TensorProduct",
    f"{_LIBRARY}._torch.TensorProductConv.TensorProductConv",
    f"{_LIBRARY}.implementations.TensorProduct.TensorProduct",
    f"{_LIBRARY}.implementations.convolution.TensorProductConv.TensorProductConv",
)
"""Tensor products with and without a sum over neighbours, in versions 0.5 and newer and before."""
_DESCRIPTIONS = tuple(
    f"{_LIBRARY}.{package}.e3nn_lite.{name}"
    for package in ("core", "implementations")
    for name in ("TPProblem", "Instruction", "Irreps", "Irrep", "_MulIr")
)

NAMES = frozenset({*_PRODUCTS, *_DESCRIPTIONS, "numpy.float32", "numpy.float64"})
"""Globals of files that were converted for OpenEquivariance."""


class _Convolution(Module):
    """An ``o3.TensorProduct`` of features with spherical harmonics."""

    def __init__(self, record: Any, archive: TorchArchive, path: str):
        super().__init__(record, archive, path)
        problem = self.attribute("problem")
        if not isinstance(problem, Record) or not isinstance(problem.state, dict):
            raise ModelFileError(
                f"problem of {self.label} does not describe a tensor product; copy or save the model again"
            )
        self._state = problem.state
        # files of versions before 0.6 have no layout
        for name, expected in (("shared_weights", False), ("layout", "mul_ir")):
            if (found := self.attribute(name, expected)) != expected:
                raise UnsupportedModelError(
                    f"{self.label} has {name} {found if isinstance(found, str | bool) else type(found).__name__}, "
                    f"expected {expected}; convert the model with mace-torch"
                )

    @property
    def class_name(self) -> str:
        return "TensorProduct"


ADAPTED |= dict.fromkeys(_PRODUCTS, _Convolution)
