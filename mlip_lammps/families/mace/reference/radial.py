"""Functions of a single edge: radial basis, cutoff and spherical harmonics."""

import numpy as np
import torch
from e3nn import o3
from numpy.typing import NDArray
from torch import Tensor, nn

from mlip_lammps.families.mace.spec import ModelSpec


class RadialBasis(nn.Module):
    """Bessel functions, polynomial cutoff and spherical harmonics of edge vectors.

    Notes
    -----
    The basis is prefactor sin(w_n r) / r. The cutoff of power p with u = r / r_c is
    1 - (p + 1)(p + 2)/2 u^p + p (p + 2) u^(p+1) - p (p + 1)/2 u^(p+2) for u < 1 and zero otherwise
    (arXiv 2003.03123, eq. 7 and 8). Spherical harmonics are those of e3nn with component normalisation.
    """

    def __init__(self, spec: ModelSpec, weights: dict[str, NDArray[np.generic]], dtype: torch.dtype):
        super().__init__()
        self.cutoff = spec.cutoff
        self.power = spec.radial.cutoff_power
        self.cutoff_on = spec.radial.cutoff_on
        self.orders = list(range(spec.l_max + 1))
        for name in ("bessel_weights", "prefactor"):
            array = np.asarray(weights[f"radial_embedding.bessel_fn.{name}"])
            self.register_buffer(name, torch.tensor(array, dtype=dtype))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the radial basis, the cutoff factor of the radial weights, and the spherical harmonics.

        Parameters
        ----------
        vectors
            Edge vectors in angstrom, shape (n_edges, 3).

        Returns
        -------
        basis
            Radial basis, shape (n_edges, n_basis).
        cutoff
            Cutoff factor, shape (n_edges, 1); None if the basis already includes it.
        harmonics
            Spherical harmonics, shape (n_edges, (l_max + 1)^2).
        """
        lengths = torch.linalg.norm(vectors, dim=1, keepdim=True)
        basis = self.prefactor * torch.sin(self.bessel_weights * lengths) / lengths
        cutoff = polynomial_cutoff(lengths, self.cutoff, self.power)
        harmonics = o3.spherical_harmonics(self.orders, vectors, normalize=True, normalization="component")
        if self.cutoff_on == "weights":
            return basis, cutoff, harmonics
        return basis * cutoff, None, harmonics


def polynomial_cutoff(lengths: Tensor, cutoff: float | Tensor, power: int) -> Tensor:
    """Return the smooth step from 1 at 0 to 0 at ``cutoff``, with the shape of ``lengths``."""
    p, u = power, lengths / cutoff
    value = 1 - (p + 1) * (p + 2) / 2 * u**p + p * (p + 2) * u ** (p + 1) - p * (p + 1) / 2 * u ** (p + 2)
    return value * (lengths < cutoff)
