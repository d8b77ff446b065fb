"""Screened (ZBL) repulsion of nuclei, from tables by pair of elements."""

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import RepulsionTables
from mlip_lammps.kernels.torch.radial import polynomial_cutoff


def pair_repulsion(
    tables: RepulsionTables, vectors: Tensor, centre: Tensor, neighbour: Tensor, centre_species: Tensor, species: Tensor
) -> Tensor:
    """Return the repulsion energies of the centres in eV, shape (n_local,), float64.

    Parameters
    ----------
    vectors
        Edge vectors r_ij in angstrom, shape (n_edges, 3), float64. Edges beyond the cutoff contribute zero.
    centre, neighbour
        Indices i and j, shape (n_edges,), int64.
    centre_species, species
        Species of the centres, and of all possible neighbours, int64.
    """
    pairs = centre_species.index_select(0, centre) * tables.n_elements + species.index_select(0, neighbour)
    distances = (vectors * vectors).sum(dim=1).sqrt()
    scaled = distances * tables.decays.index_select(0, pairs)
    screening = sum(
        c * torch.exp(-b * scaled) for c, b in zip(tables.coefficients, tables.exponents, strict=True)
    )
    envelope = polynomial_cutoff(distances * tables.reaches.index_select(0, pairs), 1.0, tables.cutoff_power)
    energies = tables.strengths.index_select(0, pairs) / distances * screening * envelope
    # the sum of the radii may exceed the model's cutoff
    energies = torch.where(distances < tables.cutoff, energies, torch.zeros_like(energies))
    return energies.new_zeros(centre_species.shape[0]).index_add(0, centre, energies)
