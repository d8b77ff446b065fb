"""Functions of a single edge: radial basis, cutoff and spherical harmonics."""

import numpy as np
import torch
from e3nn import o3
from numpy.typing import NDArray
from torch import Tensor, nn

from mlip_lammps.families.mace.spec import BASIS_ARRAYS, TRANSFORM_PARAMETERS, ModelSpec


class RadialBasis(nn.Module):
    """Bessel functions, polynomial cutoff and spherical harmonics of edge vectors.

    Notes
    -----
    The basis is prefactor sin(w_n r) / r, exp(coeff (r - r_n)^2), or T_n(r) by its recurrence. The cutoff of power p
    with u = r / r_c is 1 - (p + 1)(p + 2)/2 u^p + p (p + 2) u^(p+1) - p (p + 1)/2 u^(p+2) for u < 1 and zero otherwise
    (arXiv 2003.03123, eq. 7 and 8). Spherical harmonics are those of e3nn with component normalisation.
    """

    def __init__(self, spec: ModelSpec, weights: dict[str, NDArray[np.generic]], dtype: torch.dtype):
        super().__init__()
        self.cutoff = spec.cutoff
        self.power = spec.radial.cutoff_power
        self.cutoff_on = spec.radial.cutoff_on
        self.orders = list(range(spec.l_max + 1))
        self.transform = None
        if spec.radial.distance_transform is not None:
            self.transform = DistanceTransform(spec, weights, dtype)
        self.kind = spec.radial.basis
        for name in BASIS_ARRAYS[self.kind]:
            if name is not None:
                array = np.asarray(weights[f"radial_embedding.bessel_fn.{name}"])
                self.register_buffer(name, torch.tensor(array, dtype=dtype))

    def forward(
        self, vectors: Tensor, centre_species: Tensor, neighbour_species: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the radial basis, the cutoff factor of the radial weights, and the spherical harmonics.

        Parameters
        ----------
        vectors
            Edge vectors in angstrom, shape (n_edges, 3).
        centre_species, neighbour_species
            Species of the two atoms of each edge, shape (n_edges,).

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
        mapped = lengths if self.transform is None else self.transform(lengths, centre_species, neighbour_species)
        basis = self._functions(mapped)
        cutoff = polynomial_cutoff(lengths, self.cutoff, self.power)
        harmonics = o3.spherical_harmonics(self.orders, vectors, normalize=True, normalization="component")
        if self.cutoff_on == "weights":
            return basis, cutoff, harmonics
        return basis * cutoff, None, harmonics

    def _functions(self, r: Tensor) -> Tensor:
        if self.kind == "gaussian":
            return torch.exp(self.coeff * (r - self.gaussian_weights) ** 2)
        if self.kind == "chebyshev":
            orders = [int(order) for order in self.n.reshape(-1)]
            polynomials = [torch.ones_like(r), r]
            while len(polynomials) <= max(orders):
                polynomials.append(2 * r * polynomials[-1] - polynomials[-2])
            return torch.cat([polynomials[order] for order in orders], dim=1)
        return self.prefactor * torch.sin(self.bessel_weights * r) / r


class DistanceTransform(nn.Module):
    """Map of the distance by pair of elements; see `RadialSpec` for formulas and source."""

    def __init__(self, spec: ModelSpec, weights: dict[str, NDArray[np.generic]], dtype: torch.dtype):
        super().__init__()
        self.kind = spec.radial.distance_transform
        prefix, numbers = "radial_embedding.distance_transform", list(spec.atomic_numbers)
        for name in TRANSFORM_PARAMETERS[self.kind]:
            self.register_buffer(name, torch.tensor(np.asarray(weights[f"{prefix}.{name}"]), dtype=dtype))
        radii = np.asarray(weights[f"{prefix}.covalent_radii"])[numbers]
        self.register_buffer("radii", torch.tensor(radii, dtype=dtype))

    def forward(self, lengths: Tensor, centre_species: Tensor, neighbour_species: Tensor) -> Tensor:
        """Return the mapped lengths, shape (n_edges, 1): a number (Agnesi) or angstrom (soft)."""
        sums = (self.radii[centre_species] + self.radii[neighbour_species]).unsqueeze(1)
        if self.kind == "Agnesi":
            x = lengths / (0.5 * sums)
            return 1 / (1 + self.a * x**self.q / (1 + x ** (self.q - self.p)))
        low, high = 3 / 4 * sums, 4 / 3 * sums
        step = torch.tanh(self.alpha / (high - low) * (lengths - (low + high) / 2))
        return low + (lengths - low) * (1 + step) / 2


class RadialMLP(nn.Module):
    """Multilayer perceptron without biases: scaled silu between the layers, inputs scaled by 1/sqrt(n)."""

    def __init__(self, matrices: list[Tensor], activation_scale: float):
        super().__init__()
        self.matrices = nn.ParameterList(nn.Parameter(matrix, requires_grad=False) for matrix in matrices)
        self.activation_scale = activation_scale

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the results, shape (n_edges, n_results)."""
        hidden = inputs @ (self.matrices[0] / self.matrices[0].shape[0] ** 0.5)
        for matrix in self.matrices[1:]:
            hidden = self.activation_scale * nn.functional.silu(hidden)
            hidden = hidden @ (matrix / matrix.shape[0] ** 0.5)
        return hidden


class NormalizedMLP(nn.Sequential):
    """Linear maps with biases, and a layer norm and silu between them: mace-torch's ``RadialMLP``.

    Parameters
    ----------
    arrays
        Arrays by their names in the module.
    """

    def __init__(self, arrays: dict[str, NDArray[np.generic]], dtype: torch.dtype):
        steps: list[nn.Module] = []
        while f"net.{len(steps)}.weight" in arrays:
            n_out, n_in = arrays[f"net.{len(steps)}.weight"].shape
            steps += [nn.Linear(n_in, n_out), nn.LayerNorm(n_out), nn.SiLU()]
        super().__init__(*steps[:-2])
        self.to(dtype).requires_grad_(False)
        values = {name.removeprefix("net."): torch.tensor(np.asarray(array)) for name, array in arrays.items()}
        self.load_state_dict(values)


def polynomial_cutoff(lengths: Tensor, cutoff: float | Tensor, power: int) -> Tensor:
    """Return the smooth step from 1 at 0 to 0 at ``cutoff``, with the shape of ``lengths``.

    The formula of `RadialBasis` without its cancellation at the cutoff: (1 - u)^3 sum_(k < p) (k + 1)(k + 2)/2 u^k.
    """
    u = lengths / cutoff
    series = sum((k + 1) * (k + 2) / 2 * u**k for k in range(power))
    return (1 - u) ** 3 * series * (lengths < cutoff)
