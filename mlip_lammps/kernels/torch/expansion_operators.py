"""The densities of an atomic cluster expansion in plain torch: complex products of as many factors as each term has."""

from pathlib import Path

import torch
from torch import Tensor

from mlip_lammps.kernels.expansion import ClusterExpansion, ElementExpansion
from mlip_lammps.kernels.operators import NoOperators
from mlip_lammps.kernels.torch.spherical_harmonics import spherical_harmonics

_NUMBERS_TOGETHER = 1 << 24


class CoreRepulsion(NoOperators):
    """The core repulsion in plain torch."""

    def __init__(self, expansion: ClusterExpansion):
        self._expansion = expansion

    def core(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        zeros = vectors.new_zeros(centre_species.shape)
        if self._expansion.core is None:
            return zeros
        pairs = centre_species.index_select(0, centre) * self._expansion.n_elements + source
        values = self._expansion.core(vectors.square().sum(dim=1).sqrt(), pairs)
        return zeros.index_add(0, centre, values[:, 0])


class TorchExpansion(CoreRepulsion):
    """``ExpansionOperators`` in plain torch, float64, without tracing: loops depend on the atoms."""

    def __init__(self, expansion: ClusterExpansion):
        super().__init__(expansion)
        self._orders = torch.tensor([order for order in range(expansion.l_max + 1) for _ in range(2 * order + 1)])
        self._rows = _complex_rows(expansion.l_max)

    def densities(self, vectors: Tensor, centre: Tensor, source: Tensor, centre_species: Tensor) -> Tensor:
        model, n_local = self._expansion, len(centre_species)
        distances = vectors.square().sum(dim=1).sqrt()
        pairs = centre_species.index_select(0, centre) * model.n_elements + source
        functions = model.splines(distances, pairs)
        harmonics = spherical_harmonics(vectors / distances[:, None], model.l_max)
        terms = functions[:, :, None] * harmonics[:, None, :]
        slots = centre * model.n_elements + source
        moments = terms.new_zeros(n_local * model.n_elements, *terms.shape[1:]).index_add(0, slots, terms)
        moments = moments.view(n_local, model.n_elements, *terms.shape[1:])
        found = moments.new_zeros(n_local, model.n_densities)
        for row, element in enumerate(model.elements):
            atoms = torch.nonzero(centre_species == row)[:, 0]
            of_row = self._of_element(element, moments.index_select(0, atoms))
            found = found.index_add(0, atoms, of_row)
        return found

    def _of_element(self, element: ElementExpansion, moments: Tensor) -> Tensor:
        """Return the rows of ``densities`` of atoms of one element.

        ``moments`` are the sums of g_k Y_lm with real harmonics, shape (n_atoms, n_elements, n_base, n_harmonics).
        """
        radial = element.radial[:, :, self._orders]
        real = torch.einsum("aekh,enhk->aenh", moments, radial)
        parts = (real.index_select(3, rows) * factors for rows, factors in self._rows)
        sums = torch.complex(*parts).flatten(1)
        n_radial, n_harmonics = radial.shape[1:3]
        found = moments.new_zeros(len(moments), self._expansion.n_densities)
        for rank, factors in element.factors.items():
            coefficients = element.coefficients[rank]
            width = 0, found.shape[1] - coefficients.shape[1]
            coefficients = torch.nn.functional.pad(coefficients, width)
            e, n, order, m = factors.unbind(2)
            if rank == 1:
                found = found + moments[:, e[:, 0], n[:, 0], 0] @ coefficients
                continue
            columns = (e * n_radial + n) * n_harmonics + order * (order + 1) + m
            together = max(1, _NUMBERS_TOGETHER // max(1, len(moments) * rank))
            for some, weights in zip(columns.split(together), coefficients.split(together), strict=True):
                products = sums[:, some[:, 0]]
                for k in range(1, rank):
                    products = products * sums[:, some[:, k]]
                found = found + products.real @ weights
        return found


def _complex_rows(l_max: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return, for real and imaginary parts, the real harmonic and the factor of each complex one.

    With the phase of Condon and Shortley, Y_l,-m = (-1)^m conj(Y_lm).
    """
    cosines, signs, sines, others = [], [], [], []
    for order in range(l_max + 1):
        for m in range(-order, order + 1):
            zero = order**2 + order
            phase = (-1.0) ** m if m > 0 else 1.0
            cosines.append(zero + abs(m))
            sines.append(zero - abs(m))
            signs.append(1.0 if m == 0 else phase * 0.5**0.5)
            others.append(0.0 if m == 0 else (phase if m > 0 else -1.0) * 0.5**0.5)
    pairs = (cosines, signs), (sines, others)
    return tuple((torch.tensor(rows), torch.tensor(factors, dtype=torch.float64)) for rows, factors in pairs)


def make_operators(expansion: ClusterExpansion, radial: str, scratch: Path) -> TorchExpansion:
    """Return the operators."""
    return TorchExpansion(expansion)
