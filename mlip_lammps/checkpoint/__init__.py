"""Reads trained MACE files into a spec and a table of weights, without running what they hold; no torch here."""

from mlip_lammps.checkpoint.portable import write_portable
from mlip_lammps.checkpoint.reader import read_model
from mlip_lammps.checkpoint.spec import (
    ZBL_BOHR,
    ZBL_COULOMB,
    ZBL_EXPONENTS,
    LayerSpec,
    ModelSpec,
    PairRepulsionSpec,
    RadialSpec,
    ReadoutSpec,
    TrainedModel,
)

__all__ = [
    "ZBL_BOHR",
    "ZBL_COULOMB",
    "ZBL_EXPONENTS",
    "LayerSpec",
    "ModelSpec",
    "PairRepulsionSpec",
    "RadialSpec",
    "ReadoutSpec",
    "TrainedModel",
    "read_model",
    "write_portable",
]
