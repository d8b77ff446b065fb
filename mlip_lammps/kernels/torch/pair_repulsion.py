"""Screened repulsion of nuclei (ZBL) of every atom, from tables by pair of elements."""

import torch
from torch import Tensor

from mlip_lammps.kernels.lowered import RepulsionTables
from mlip_lammps.kernels.torch.radial import polynomial_cutoff


def pair_repulsion(
    tables: RepulsionTables, vectors: Tensor, centre: Tensor, neighbour: Tensor, centre_species: Tensor, species: Tensor
) -> Tensor:
    """Return energies of the centres in eV, shape (n_local,), float64.

    Parameters
    ----------
    vectors
        r_ij in angstrom, shape (n_edges, 3), float64. Edges beyond the cutoff are allowed and give 0.
    centre, neighbour
        Shape (n_edges,), int64.
    centre_species, species
        Of the centres and of all that may be their neighbours, int64.
    """
    pairs = centre_species.index_select(0, centre) * tables.n_elements + species.index_select(0, neighbour)
    distances = (vectors * vectors).sum(dim=1).sqrt()
    scaled = distances * tables.decays.index_select(0, pairs)
    screening = sum(
        c * torch.exp(-b * scaled) for c, b in zip(tables.coefficients, tables.exponents, strict=True)
    )
    envelope = polynomial_cutoff(distances * tables.reaches.index_select(0, pairs), 1.0, tables.cutoff_power)
    energies = tables.strengths.index_select(0, pairs) / distances * screening * envelope
    # radii may reach farther than the model does
    energies = torch.where(distances < tables.cutoff, energies, torch.zeros_like(energies))
    return energies.new_zeros(centre_species.shape[0]).index_add(0, centre, energies)
