"""Radial functions of a lowered layer: the trained network, its last hidden layer, and tables."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import LoweredLayer, LoweredModel
from mlip_lammps.kernels.radial_table import RadialTable
from mlip_lammps.kernels.torch.radial import radial_weights


def radial_functions(model: LoweredModel, layer: LoweredLayer) -> Callable[[Tensor], Tensor]:
    """Return the radial weights of a layer as a function of distances (n,), shape (n, n_paths * n_channels)."""
    basis = model.radial

    def functions(distances: Tensor) -> Tensor:
        return radial_weights(
            distances,
            basis.wave_numbers,
            basis.prefactor,
            model.cutoff,
            basis.cutoff_power,
            basis.is_cutoff_on_basis,
            layer.radial_matrices,
            layer.radial_activation_scale,
        )

    return functions


def hidden_functions(model: LoweredModel, layer: LoweredLayer) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return the last hidden layer as a function of distances, and the matrix from it to the weights."""
    *before, last = layer.radial_matrices
    unit = torch.eye(last.shape[0], dtype=last.dtype)
    return radial_functions(model, replace(layer, radial_matrices=(*before, unit))), last


def table_record(tables: Sequence[RadialTable]) -> list[dict[str, float]]:
    """Return the metadata entries of each table."""
    return [
        {
            "n_intervals": table.n_intervals,
            "degree": table.degree,
            "n_functions": table.coefficients.shape[1],
            "value_error": table.value_error,
            "slope_error": table.slope_error,
        }
        for table in tables
    ]


def interpolated(tables: list[tuple[float, Tensor, Tensor | None]]) -> list[Callable[[Tensor], Tensor]]:
    """Return the tabulated convolution weights of each layer, given cutoff, coefficients and expansion of its table."""

    def of_layer(cutoff: float, coefficients: Tensor, expansion: Tensor | None) -> Callable[[Tensor], Tensor]:
        table = RadialTable(coefficients, cutoff, 0.0, 0.0)
        return lambda distances: expanded(table.evaluate(distances), expansion)

    return [of_layer(*entry) for entry in tables]


def expanded(values: Tensor, expansion: Tensor | None) -> Tensor:
    """Return a layer's radial functions from those of a reduced table; unchanged if there is no expansion."""
    return values if expansion is None else values @ expansion.t()
