"""Constants of radial functions: the basis of the distance and the network on it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class DistanceTransform:
    """Map of the distance before the Bessel functions, by pair of elements.

    Attributes
    ----------
    kind, parameters
        ``Agnesi``: with x = r / length, 1 / (1 + a x^q / (1 + x^(q - p))) and the parameters a, q, p. ``Soft``: with
        r_0 = 3/4 length, r_1 = 4/3 length and r_m their mean,
        r_0 + (r - r_0) (1 + tanh(alpha (r - r_m) / (r_1 - r_0))) / 2 and the parameter alpha.
    lengths
        Length of each pair of elements i * n_elements + j in angstrom, shape (n_elements^2,), float64.
    """

    kind: str
    parameters: tuple[float, ...]
    lengths: Tensor


@dataclass(frozen=True)
class RadialBasis:
    """Functions of the distance times a cutoff function; tensors in float64.

    Attributes
    ----------
    kind
        ``bessel``: factor sin(k r) / r; ``gaussian``: exp(factor (r - k)^2).
    parameters, factor
        The numbers k, shape (n_basis,), and a scalar; wave numbers in 1/angstrom for Bessel functions.
    cutoff_power
        Exponent of the polynomial cutoff.
    cutoff_start
        Distance in angstrom from which on the XPLOR function decreases, which takes the place of the polynomial cutoff;
        None for the polynomial. Second derivatives jump there.
    is_cutoff_on_basis
        Whether the cutoff multiplies the basis before the network; otherwise it multiplies the result.
    transform
        Map of the distance before the functions; the cutoff keeps the distance. None without a map.
    """

    parameters: Tensor
    factor: Tensor
    cutoff_power: int
    is_cutoff_on_basis: bool
    transform: DistanceTransform | None = None
    kind: str = "bessel"
    cutoff_start: float | None = None

    @property
    def kinks(self) -> tuple[float, ...]:
        """Distances in angstrom inside the cutoff at which a derivative jumps."""
        return () if self.cutoff_start is None else (self.cutoff_start,)


@dataclass(frozen=True)
class RadialNetwork:
    """Network on the radial basis: matrices with an activation, scale * silu, between them.

    Attributes
    ----------
    matrices
        The last one gives the results.
    scale
        Factor of the activations.
    biases
        Added after each matrix, or empty.
    norms
        Weights and biases of a layer norm before each activation, or empty.
    pair_biases
        Added after the first matrix by pair of elements i * n_elements + j, shape (n_elements^2, width); None if the
        network does not depend on the pair.
    powers
        Power of the distance (angstrom) that multiplies each result, shape (n_results,): the order of the spherical
        harmonics if they are not those of the unit vector. None without such factors.
    """

    matrices: tuple[Tensor, ...]
    scale: float = 1.0
    biases: tuple[Tensor, ...] = ()
    norms: tuple[tuple[Tensor, Tensor], ...] = ()
    pair_biases: Tensor | None = None
    powers: Tensor | None = None

    @property
    def is_plain(self) -> bool:
        """Whether there are only matrices and activations."""
        return not self.biases and not self.norms and self.pair_biases is None and self.powers is None

    @property
    def split(self) -> "tuple[RadialNetwork, Tensor]":
        """Return the network up to its last activations, with a constant 1 if it has biases, and the last matrix."""
        *before, last = self.matrices
        width = last.shape[0]
        if self.powers is not None:
            # the hidden functions times each power
            highest = int(self.powers.max())
            every = torch.arange(highest + 1)
            unit = torch.eye(width, dtype=last.dtype).repeat(1, highest + 1)
            network = replace(self, matrices=(*before, unit), powers=every.repeat_interleave(width))
            return network, torch.cat([last * (self.powers == power) for power in every])
        if not self.biases:
            return replace(self, matrices=(*before, torch.eye(width, dtype=last.dtype))), last
        unit, one = torch.eye(width, width + 1, dtype=last.dtype), torch.zeros(width + 1, dtype=last.dtype)
        one[width] = 1.0
        network = replace(self, matrices=(*before, unit), biases=(*self.biases[:-1], one))
        return network, torch.cat([last, self.biases[-1].unsqueeze(0)])
