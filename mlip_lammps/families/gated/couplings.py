"""Coupling coefficients of a trained model: those of its file, in the signs that it was trained with."""

import torch
from e3nn import o3
from torch import Tensor

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.gated.spec import GatedModel

_TOLERANCE = 1e-5
"""A file stores the coefficients in float32."""


def coupling(trained: GatedModel, l_in: int, l_edge: int, l_out: int) -> Tensor:
    """Return the Wigner 3j symbols of a path, shape (2 l_in + 1, 2 l_edge + 1, 2 l_out + 1), float64.

    A float32 model was trained with coefficients that e3nn rounds to float32 if none of the orders is 0.
    """
    symbols = o3.wigner_3j(l_in, l_edge, l_out, dtype=torch.float64) * sign(trained, l_in, l_edge, l_out)
    is_rounded = trained.dtype == "float32" and 0 not in (l_in, l_edge, l_out)
    return symbols.to(torch.float32).to(torch.float64) if is_rounded else symbols


def sign(trained: GatedModel, l_in: int, l_edge: int, l_out: int) -> float:
    """Return the sign of the coefficients of the file relative to those of the installed e3nn.

    Versions of e3nn differ in the sign of couplings whose orders have an odd sum.

    Raises
    ------
    ModelFileError
        If the file has other coefficients.
    """
    stored = trained.weights.get(f"couplings.{l_in}_{l_edge}_{l_out}")
    if stored is None:
        return 1.0
    symbols, found = o3.wigner_3j(l_in, l_edge, l_out, dtype=torch.float64), torch.from_numpy(stored).double()
    for factor in (1.0, -1.0):
        if (found - factor * symbols).abs().max() < _TOLERANCE:
            return factor
    raise ModelFileError(
        f"{trained.source_name} has couplings of the orders {l_in}, {l_edge} and {l_out} that are not Wigner 3j "
        "symbols: the file is damaged; copy it again"
    )
