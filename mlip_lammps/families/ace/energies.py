"""Energies of atoms from their densities and core repulsion, as torch functions."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mlip_lammps.families.ace.radial import falling
from mlip_lammps.families.ace.spec import AceSpec, EmbeddingSpec
from mlip_lammps.families.atom_centred.networks import energies_by_element

_W = 1e6
"""Inverse density where F of FinnisSinclair changes from a line to a power."""
_SMALLEST = 1e-10
_FAR = 30.0
_NOWHERE = 1e3
"""Distance of the nearest neighbour of an atom without neighbours, in angstrom."""


class AtomEnergies:
    """Energies of the elements ``rows`` of a potential."""

    def __init__(self, spec: AceSpec, rows: Sequence[int]):
        self.n_elements = len(rows)
        self.embeddings = [spec.embeddings[row] for row in rows]
        self.constants = torch.tensor([spec.atom_energies[row] for row in rows], dtype=torch.float64)
        bonds = [spec.bonds[i][j] for i in rows for j in rows]
        self.has_zbl = spec.inner_cutoff == "zbl"
        self.inner_widths = torch.tensor([bond.inner_width for bond in bonds], dtype=torch.float64)
        starts = [bond.inner_cutoff - bond.inner_width for bond in bonds]
        self.inner_starts = torch.tensor(starts, dtype=torch.float64)

    def __call__(
        self, densities: Tensor, core: Tensor, species: Tensor, vectors: Tensor, centre: Tensor, source: Tensor
    ) -> Tensor:
        """Return atomic energies in eV, shape (n_local,).

        Parameters
        ----------
        densities, core
            Of ``ExpansionOperators``.
        species, source
            Of the centres, shape (n_local,), and of the neighbours, shape (n_edges,).
        vectors, centre
            Edge vectors in angstrom, shape (n_edges, 3), and their centres.
        """
        embedded = [
            lambda inputs, one=one: _embedded(one, inputs[:, : len(one.weights)]) for one in self.embeddings
        ]
        energies = energies_by_element(embedded, densities, species)
        if self.has_zbl:
            nearest, widths = self._nearest(species, vectors, centre, source)
            share = falling(widths - nearest, widths, widths)
            energies = energies * share + core * (1.0 - share)
        else:
            ends = torch.tensor([one.core_cutoff for one in self.embeddings], dtype=torch.float64)
            widths = torch.tensor([one.core_width for one in self.embeddings], dtype=torch.float64)
            share = falling(core, ends.index_select(0, species), widths.index_select(0, species))
            energies = energies * share + core
        return energies + self.constants.index_select(0, species)

    def _nearest(self, species: Tensor, vectors: Tensor, centre: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return how far the nearest neighbour is from the beginning of its inner cutoff, and the width of that.

        Neighbours at the same distance share the gradient.
        """
        pairs = species.index_select(0, centre) * self.n_elements + source
        beyond = vectors.square().sum(dim=1).sqrt() - self.inner_starts.index_select(0, pairs)
        fixed = beyond.detach()
        nearest = fixed.new_full(species.shape, _NOWHERE).scatter_reduce(0, centre, fixed, "amin")
        is_nearest = (fixed == nearest.index_select(0, centre)).to(fixed.dtype)
        zeros = fixed.new_zeros(species.shape)
        count = zeros.index_add(0, centre, is_nearest).clamp(min=1.0)

        def of_nearest(values: Tensor) -> Tensor:
            return zeros.index_add(0, centre, values * is_nearest) / count

        is_alone = nearest >= _NOWHERE
        widths = of_nearest(self.inner_widths.index_select(0, pairs))
        return torch.where(is_alone, _NOWHERE, of_nearest(beyond)), torch.where(is_alone, 1.0, widths)


def _embedded(spec: EmbeddingSpec, densities: Tensor) -> Tensor:
    """Return sum_p w_p F(rho_p), shape (n,), of densities (n, n_densities)."""
    function = _FUNCTIONS[spec.name]
    terms = zip(spec.weights, spec.exponents, densities.unbind(1), strict=True)
    return sum(weight * function(rho, power) for weight, power, rho in terms)


def _power(rho: Tensor, power: float) -> Tensor:
    """Return sign(rho) |rho|^m, and a line where |rho| is below about 1e-6."""
    slope = (1.0 / _W) ** (power - 1.0)
    sign = torch.where(rho < 0.0, -1.0, 1.0)
    is_small = rho.abs() <= _SMALLEST
    a = torch.where(is_small, 1.0, sign * rho)
    cube = (_W * a) ** 3
    is_far = cube > _FAR
    line = torch.where(is_far, 0.0, torch.exp(-torch.where(is_far, 0.0, cube)))
    return torch.where(is_small, slope * rho, sign * ((1.0 - line) * a**power + slope * line * a))


def _shifted_power(rho: Tensor, power: float) -> Tensor:
    """Return sign(rho) ((x + |rho|)^m - y), where x and y vanish for large |rho| and F is a line through 0."""
    if abs(power - 1.0) < _SMALLEST:
        return rho
    sign = torch.where(rho < 0.0, -1.0, 1.0)
    a = sign * rho
    n = 1.0 / power
    decay = torch.exp(-a)
    x = n ** (n / (1.0 - n)) * decay
    y = n ** (1.0 / (1.0 - n)) * decay
    return sign * ((x + a) ** power - y)


_FUNCTIONS = {"FinnisSinclair": _power, "FinnisSinclairShiftedScaled": _shifted_power}
