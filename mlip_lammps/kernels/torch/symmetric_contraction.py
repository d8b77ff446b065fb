"""Symmetric contraction: products of messages up to the correlation order, coupled to the output irreps."""

from torch import Tensor

from mlip_lammps.kernels.lowered import PolynomialOrder


def symmetric_contraction(
    messages: Tensor, species: Tensor, orders: tuple[PolynomialOrder, ...], n_components_out: int
) -> Tensor:
    """Return the polynomial of the messages with element-dependent weights (arXiv 2206.07697, eq. 10 and 11).

    Parameters
    ----------
    messages
        Messages, shape (n_local, n_components_in, n_channels).
    species
        Indices into the element table, shape (n_local,).

    Returns
    -------
    Tensor
        Products, shape (n_local, n_components_out, n_channels).
    """
    result = messages.new_zeros((messages.shape[0], n_components_out, messages.shape[2]))
    for order in orders:
        monomials = messages.index_select(1, order.indices[:, 0])
        for factor in range(1, order.indices.shape[1]):
            monomials = monomials * messages.index_select(1, order.indices[:, factor])
        n_parameters = order.weights.shape[2]
        couplings = order.couplings.reshape(order.couplings.shape[0], -1)
        basis = (couplings.t() @ monomials).view(-1, n_components_out, n_parameters, messages.shape[2])
        weights = order.weights if order.weights.shape[0] == 1 else order.weights.index_select(0, species)
        result = result + (basis * weights).sum(dim=2)
    return result
