"""Radial functions: basis, cutoff function, and the network that gives the convolution weights."""

import math

import torch
from torch import Tensor

from mlip_lammps.kernels.radial_constants import DistanceTransform, RadialBasis, RadialNetwork

ACTIVATIONS = {
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softplus": torch.nn.functional.softplus,
    "softplus2": lambda x: torch.nn.functional.softplus(x) - math.log(2.0),
}
"""Activation functions of networks by name."""
_NORM_EPSILON = 1e-5
"""Added to the variance in a layer norm: torch's default."""


def basis_functions(basis: RadialBasis, distances: Tensor) -> Tensor:
    """Return the functions of the (mapped) distances (n_edges,), shape (n_edges, n_basis), in their precision."""
    r = distances.unsqueeze(1)
    parameters, factor = basis.parameters.to(r.dtype), basis.factor.to(r.dtype)
    if basis.kind == "gaussian":
        return torch.exp(factor * (r - parameters).square())
    if basis.kind == "spherical":
        return factor * _spherical_bessel(parameters * r, basis.orders)
    if basis.kind == "chebyshev":
        return factor * _chebyshev(r, basis.orders)
    return factor * torch.sin(parameters * r) / r


def _chebyshev(x: Tensor, orders: tuple[int, ...]) -> Tensor:
    """Return the Chebyshev polynomials of the first kind T_l(x), shape (n_edges, n_basis), by their recurrence."""
    by_order = [torch.ones_like(x), x]
    while len(by_order) <= max(orders):
        by_order.append(2.0 * x * by_order[-1] - by_order[-2])
    return torch.cat([by_order[order] for order in orders], dim=1)


def _spherical_bessel(x: Tensor, orders: tuple[int, ...]) -> Tensor:
    """Return j_l(x) with the order l of each column, shape (n_edges, n_basis)."""
    before, value = torch.cos(x) / x, torch.sin(x) / x
    by_order = [value]
    for order in range(max(orders)):
        before, value = value, (2 * order + 1) / x * value - before
        by_order.append(value)
    return torch.stack([by_order[order][:, column] for column, order in enumerate(orders)], dim=1)


def mapped_distances(transform: DistanceTransform, distances: Tensor, lengths: Tensor) -> Tensor:
    """Return the distance transform of ``distances`` with the length of each pair, shape (n_edges,)."""
    if transform.kind == "Agnesi":
        a, q, p = transform.parameters
        x = distances / lengths
        # x^q / (1 + x^(q - p)) without the power that is infinite at zero
        return 1.0 / (1.0 + a * x.pow(p) / (1.0 + x.pow(p - q)))
    if transform.kind == "Scaled":
        (cutoff,) = transform.parameters
        return distances * (cutoff / lengths)
    (alpha,) = transform.parameters
    low, high = 3.0 / 4.0 * lengths, 4.0 / 3.0 * lengths
    step = torch.tanh(alpha / (high - low) * (distances - 0.5 * (low + high)))
    return low + 0.5 * (distances - low) * (1.0 + step)


def polynomial_cutoff(distances: Tensor, cutoff: float, power: int) -> Tensor:
    """Return the smooth step from 1 at 0 to 0 at ``cutoff``, shape (n_edges,) (arXiv 2003.03123, eq. 8).

    The cubic root at the cutoff is a factor, (1 - x)^3 sum_(k < p) (k + 1)(k + 2)/2 x^k, so no digits cancel there.
    """
    x = distances / cutoff
    rest = 1.0 - x
    series = torch.zeros_like(x)
    for k in reversed(range(power)):
        series = series * x + 0.5 * (k + 1) * (k + 2)
    envelope = rest * rest * rest * series
    return torch.where(x < 1.0, envelope, torch.zeros_like(envelope))


def xplor_cutoff(distances: Tensor, cutoff: float, start: float) -> Tensor:
    """Return the step from 1 at ``start`` to 0 at ``cutoff`` (angstrom) with a continuous slope, shape (n_edges,).

    With squares of distances, (c - r)^2 (c + 2 r - 3 s) / (c - s)^3: the smoothing of XPLOR, as HOOMD-blue defines it.
    """
    square, outer, inner = distances * distances, cutoff**2, start**2
    falling = (outer - square).square() * (outer + 2.0 * square - 3.0 * inner) / (outer - inner) ** 3
    value = torch.where(distances < start, torch.ones_like(falling), falling)
    return torch.where(distances < cutoff, value, torch.zeros_like(falling))


def cosine_cutoff(distances: Tensor, cutoff: float) -> Tensor:
    """Return (1 + cos(pi r / c)) / 2, shape (n_edges,); zero beyond the cutoff."""
    falling = 0.5 * (1.0 + torch.cos(math.pi / cutoff * distances))
    return torch.where(distances < cutoff, falling, torch.zeros_like(falling))


def cutoff_function(basis: RadialBasis, distances: Tensor, cutoff: float) -> Tensor:
    """Return the cutoff function of a basis, shape (n_edges,)."""
    if basis.cutoff_start is not None:
        return xplor_cutoff(distances, cutoff, basis.cutoff_start)
    if basis.cutoff_power == 0:
        return cosine_cutoff(distances, cutoff)
    return polynomial_cutoff(distances, cutoff, basis.cutoff_power)


def network_values(
    network: RadialNetwork, basis: Tensor, pairs: Tensor | None = None, added: Tensor | None = None
) -> Tensor:
    """Return the results of the network, shape (n_edges, n_results), in the precision of ``basis``.

    ``pairs`` are the pairs of elements, shape (n_edges,), for a network that depends on them. ``added`` is added after
    the first matrix, shape (n_edges, width).
    """
    hidden, activation = basis, ACTIVATIONS[network.activation]
    for number, matrix in enumerate(network.matrices):
        if number > 0:
            if network.norms:
                weight, bias = (part.to(basis.dtype) for part in network.norms[number - 1])
                hidden = torch.nn.functional.layer_norm(hidden, weight.shape, weight, bias, _NORM_EPSILON)
            hidden = network.scale * activation(hidden)
        hidden = hidden @ matrix.to(basis.dtype)
        if number == 0 and network.pair_biases is not None:
            hidden = hidden + network.pair_biases.to(basis.dtype).index_select(0, pairs)
        if number == 0 and added is not None:
            hidden = hidden + added
        if network.biases:
            hidden = hidden + network.biases[number].to(basis.dtype)
    return network.scale * activation(hidden) if network.is_last_activated else hidden


def radial_values(
    basis: RadialBasis,
    network: RadialNetwork,
    cutoff: float,
    distances: Tensor,
    pairs: Tensor | None = None,
    dtype: torch.dtype | None = None,
    added: Tensor | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return the network on the basis of ``distances``, and the factor that multiplies it, if the basis has no cutoff.

    Parameters
    ----------
    distances
        In angstrom, shape (n_edges,); basis and cutoff are computed in their precision.
    pairs
        Pairs of elements, shape (n_edges,); None if no radial function depends on them.
    dtype
        Precision of the network; that of ``distances`` by default.
    added
        Added after the first matrix of the network, shape (n_edges, width).

    Returns
    -------
    values
        Shape (n_edges, n_results).
    factor
        Shape (n_edges, 1), or None.
    """
    mapped, falling = distances, distances
    if basis.transform is not None:
        mapped = mapped_distances(basis.transform, distances, basis.transform.lengths.to(distances.dtype)[pairs])
        falling = mapped if basis.transform.kind == "Scaled" else distances
    envelope = cutoff_function(basis, falling, cutoff).unsqueeze(1)
    functions = basis_functions(basis, mapped)
    if basis.is_cutoff_on_basis:
        functions = functions * envelope
    values = network_values(network, functions.to(dtype or distances.dtype), pairs, added)
    if network.powers is not None:
        values = values * distances.to(values.dtype).unsqueeze(1).pow(network.powers.to(values.dtype))
    return values, None if basis.is_cutoff_on_basis else envelope.to(values.dtype)


def radial_weights(
    basis: RadialBasis,
    network: RadialNetwork,
    cutoff: float,
    distances: Tensor,
    pairs: Tensor | None = None,
    dtype: torch.dtype | None = None,
    added: Tensor | None = None,
) -> Tensor:
    """Return the convolution weights, shape (n_edges, n_weights); arguments as for ``radial_values``."""
    values, factor = radial_values(basis, network, cutoff, distances, pairs, dtype, added)
    return values if factor is None else values * factor


def density_terms(
    basis: RadialBasis, network: RadialNetwork, cutoff: float, distances: Tensor, pairs: Tensor | None = None
) -> Tensor:
    """Return what each neighbour adds to a density, shape (n_edges, 1); arguments as for ``radial_values``."""
    values, factor = radial_values(basis, network, cutoff, distances, pairs)
    terms = torch.tanh(values.square())
    return terms if factor is None else terms * factor
