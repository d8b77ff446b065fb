"""The C++ kernels of a lowered model: shapes, tables and weights of every layer, behind two calls."""

from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.export.lowering import LoweredLayer, LoweredModel
from mlip_lammps.kernels.cpu_contraction import contraction_terms
from mlip_lammps.kernels.cpu_library import KernelLibrary
from mlip_lammps.kernels.cpu_source import ConvolutionShape
from mlip_lammps.kernels.radial import radial_weights
from mlip_lammps.kernels.radial_table import RadialTable, tabulate

# Degree of the radial polynomials and bound on the relative error of their slopes.
_TABLE_SETTINGS = {torch.float64: (9, 1e-10), torch.float32: (7, 2e-7)}


class CpuKernels:
    """What the layers call in place of the torch forms of their two hot operations.

    Attributes
    ----------
    library
        The compiled operators.
    tables
        Radial table of each layer, with its errors.
    """

    def __init__(self, model: LoweredModel, features: torch.dtype, folder: Path):
        degree, tolerance = _TABLE_SETTINGS[features]
        self.tables = tuple(_tabulate(model, layer, degree, tolerance) for layer in model.layers)
        convolutions, contractions, self._weights = [], [], []
        for t, layer in enumerate(model.layers, start=1):
            convolutions.append(
                ConvolutionShape(
                    name=f"Convolution{t}",
                    dtype=features,
                    n_channels=layer.n_channels,
                    n_components_in=max(block.out_start + block.dim for block in layer.up),
                    n_components_mid=layer.n_components_mid,
                    l_max=model.spec.l_max,
                    degree=degree,
                    paths=layer.paths,
                )
            )
            shape, weights = contraction_terms(
                f"Contraction{t}", features, layer.polynomial, layer.n_components_message, layer.n_components_out
            )
            contractions.append(shape)
            self._weights.append(weights)
        self.library = KernelLibrary(convolutions, contractions, folder)
        self._coefficients = [
            shape.table_layout(table.coefficients) for shape, table in zip(convolutions, self.tables, strict=True)
        ]

    def table_record(self) -> list[dict[str, float]]:
        """Return, for each layer, what the metadata says of its radial table."""
        return [
            {
                "n_intervals": table.n_intervals,
                "degree": table.degree,
                "value_error": table.value_error,
                "slope_error": table.slope_error,
            }
            for table in self.tables
        ]

    def convolve(
        self, t: int, features: Tensor, vectors: Tensor, centre: Tensor, source: Tensor, like: Tensor
    ) -> Tensor:
        """Return the messages of layer ``t``, shape (n_local, n_mid, n_channels)."""
        op, table = self.library.convolutions[t - 1], self.tables[t - 1]
        flat = features.reshape(features.shape[0], -1).contiguous()
        scale = table.n_intervals / table.cutoff
        messages = op(flat, vectors, centre, source, self._coefficients[t - 1], scale, table.n_intervals, like)
        return messages.view(-1, op.shape.n_components_mid, op.shape.n_channels)

    def contract(self, t: int, messages: Tensor, species: Tensor) -> Tensor:
        """Return the products of layer ``t``, shape (n_local, n_out, n_channels)."""
        op = self.library.contractions[t - 1]
        flat = messages.reshape(messages.shape[0], -1).contiguous()
        return op(flat, species, self._weights[t - 1]).view(-1, op.shape.n_components_out, op.shape.n_channels)


def _tabulate(model: LoweredModel, layer: LoweredLayer, degree: int, tolerance: float) -> RadialTable:
    spec = model.spec

    def functions(distances: Tensor) -> Tensor:
        return radial_weights(
            distances,
            model.wave_numbers,
            model.radial_prefactor,
            spec.cutoff,
            spec.radial.cutoff_power,
            spec.radial.cutoff_on == "basis",
            layer.radial_matrices,
            layer.radial_activation_scale,
        )

    return tabulate(functions, spec.cutoff, degree, tolerance)
