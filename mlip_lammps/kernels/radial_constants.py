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
        r_0 + (r - r_0) (1 + tanh(alpha (r - r_m) / (r_1 - r_0))) / 2 and the parameter alpha. ``Scaled``: r cutoff
        / length with the cutoff as parameter; the cutoff function takes it too, and the length is the cutoff of the
        pair.
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
        ``bessel``: factor sin(k r) / r; ``gaussian``: exp(factor (r - k)^2); ``spherical``: factor j_l(k r);
        ``chebyshev``: factor T_l(r).
    parameters, factor
        The numbers k, shape (n_basis,), and a scalar; wave numbers in 1/angstrom for Bessel functions.
    orders
        The order l of each spherical Bessel function or Chebyshev polynomial.
    cutoff_power
        Exponent of the polynomial cutoff; 0 for the cosine cutoff (1 + cos(pi r / c)) / 2.
    cutoff_start
        Distance in angstrom from which on the XPLOR function decreases, which takes the place of the polynomial cutoff;
        None for the polynomial. Second derivatives jump there.
    is_cutoff_on_basis
        Whether the cutoff multiplies the basis before the network; otherwise it multiplies the result.
    transform
        Map of the distance before the functions; the cutoff keeps the distance, except with ``Scaled``. None without a
        map.
    """

    parameters: Tensor
    factor: Tensor
    cutoff_power: int
    is_cutoff_on_basis: bool
    transform: DistanceTransform | None = None
    kind: str = "bessel"
    cutoff_start: float | None = None
    orders: tuple[int, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether these are Bessel functions of the distance itself with the polynomial cutoff."""
        has_polynomial = self.cutoff_start is None and self.cutoff_power > 0
        return self.kind == "bessel" and self.transform is None and has_polynomial

    @property
    def kinks(self) -> tuple[float, ...]:
        """Distances in angstrom inside the cutoff at which a derivative jumps."""
        return () if self.cutoff_start is None else (self.cutoff_start,)


@dataclass(frozen=True)
class RadialNetwork:
    """Network on the radial basis: matrices with an activation, scale times a function, between them.

    Attributes
    ----------
    matrices
        The last one gives the results.
    scale
        Factor of the activations.
    activation
        Name of the function, see ``ACTIVATIONS`` in ``kernels/torch/radial.py``.
    is_last_activated
        Whether there is an activation after the last matrix as well.
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
    activation: str = "silu"
    is_last_activated: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether there are only matrices and silu functions between them."""
        has_others = self.activation != "silu" or self.is_last_activated
        has_constants = bool(self.biases or self.norms) or self.pair_biases is not None
        return not has_others and not has_constants and self.powers is None

    @property
    def split(self) -> "tuple[RadialNetwork, Tensor]":
        """Return the network up to its last activations, with a constant 1 if it has biases, and the last matrix."""
        *before, last = self.matrices
        if self.is_last_activated or (not before and self.pair_biases is not None):
            return self, torch.eye(last.shape[1], dtype=last.dtype)
        width = last.shape[0]
        if self.powers is not None:
            # the hidden functions times each power
            highest = int(self.powers.max())
            every = torch.arange(highest + 1)
            unit = torch.eye(width, dtype=last.dtype).repeat(1, highest + 1)
            network = replace(self, matrices=(*before, unit), powers=every.repeat_interleave(width))
            return network, torch.cat([last * (self.powers == power) for power in every])
        if before and not self.biases and not self.norms:
            return replace(self, matrices=tuple(before), is_last_activated=True), last
        if not self.biases:
            return replace(self, matrices=(*before, torch.eye(width, dtype=last.dtype))), last
        unit, one = torch.eye(width, width + 1, dtype=last.dtype), torch.zeros(width + 1, dtype=last.dtype)
        one[width] = 1.0
        network = replace(self, matrices=(*before, unit), biases=(*self.biases[:-1], one))
        return network, torch.cat([last, self.biases[-1].unsqueeze(0)])
