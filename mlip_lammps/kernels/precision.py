"""Floating-point types of each precision."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Precision:
    """Floating-point types of geometry and energies, and of features."""

    geometry: torch.dtype
    features: torch.dtype


PRECISIONS = {
    "float64": Precision(torch.float64, torch.float64),
    "float32": Precision(torch.float32, torch.float32),
    "mixed": Precision(torch.float64, torch.float32),
}
