"""Screened (ZBL) repulsion of nuclei, which some models add to their trained energy."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mlip_lammps.families.mace.reference.radial import polynomial_cutoff
from mlip_lammps.families.mace.spec import ZBL_BOHR, ZBL_COULOMB, ZBL_EXPONENTS, ModelSpec


class PairRepulsion(nn.Module):
    """ZBL repulsion; see `PairRepulsionSpec` for formula and source."""

    def __init__(self, spec: ModelSpec, weights: dict[str, NDArray[np.generic]], dtype: torch.dtype):
        super().__init__()
        self.power = spec.pair_repulsion.cutoff_power
        self.common_cutoff = spec.cutoff if spec.pair_repulsion.has_common_cutoff else None
        numbers = list(spec.atomic_numbers)

        def constant(values) -> Tensor:
            return torch.tensor(np.asarray(values), dtype=dtype)

        self.register_buffer("charges", constant(numbers))
        self.register_buffer("radii", constant(weights["pair_repulsion_fn.covalent_radii"][numbers]))
        self.register_buffer("coefficients", constant(weights["pair_repulsion_fn.c"]))
        self.register_buffer("exponents", constant(ZBL_EXPONENTS))
        self.register_buffer("a_exp", constant(weights["pair_repulsion_fn.a_exp"]))
        self.register_buffer("a_prefactor", constant(weights["pair_repulsion_fn.a_prefactor"]))

    def forward(self, species: Tensor, vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor) -> Tensor:
        """Return atomic energies before scaling, shape (n_atoms,)."""
        centre, neighbour = species[edge_centre], species[edge_neighbour]
        lengths = torch.linalg.norm(vectors, dim=1)
        z_i, z_j = self.charges[centre], self.charges[neighbour]
        screening = self.a_prefactor * ZBL_BOHR / (z_i**self.a_exp + z_j**self.a_exp)
        decays = torch.exp(-self.exponents * (lengths / screening).unsqueeze(1))
        pairs = ZBL_COULOMB * z_i * z_j / lengths * (decays @ self.coefficients)
        reach, share = self.radii[centre] + self.radii[neighbour], 0.5
        if self.common_cutoff is not None:
            reach, share = self.common_cutoff, 1.0
        pairs = share * pairs * polynomial_cutoff(lengths, reach, self.power)
        return torch.zeros_like(self.charges[species]).index_add(0, edge_centre, pairs)
