"""Reference implementation of the atomic cluster expansion: complex products, one number of factors after the other."""

import torch
from torch import Tensor

from mlip_lammps.families.ace.embedding import embedded, nearest_neighbours, with_core, with_zbl
from mlip_lammps.families.ace.harmonics import complex_parts, real_harmonics, turned
from mlip_lammps.families.ace.radial import RadialSplines
from mlip_lammps.families.ace.spec import MU, AceModel, L, M, N
from mlip_lammps.families.reference import ReferenceModel

_NUMBERS_TOGETHER = 1 << 24


class AceReference(ReferenceModel):
    """The expansion in float64.

    Notes
    -----
    With sums over neighbours A_mu,nlm = sum_j R_nl(r_ij) Y_lm(r_ij) of element mu, densities are sums of products,
    rho_p = Re sum_t c_tp prod_s A_ts, and the energy is sum_p w_p F(rho_p), a core repulsion and a constant (Drautz,
    Phys. Rev. B 99, 014104 (2019); Lysogorskiy et al., npj Comput. Mater. 7, 97 (2021)).
    """

    def __init__(self, trained: AceModel):
        super().__init__(trained.atomic_numbers, trained.cutoff)
        self.trained, self.spec = trained, trained.spec
        self.weights = {name: torch.from_numpy(array) for name, array in trained.weights.items()}
        self.radial = RadialSplines(self.spec, list(range(len(self.atomic_numbers))))
        bonds = [bond for bonds in self.spec.bonds for bond in bonds]
        self.inner_widths = torch.tensor([bond.inner_width for bond in bonds], dtype=torch.float64)
        self.inner_starts = torch.tensor(
            [bond.inner_cutoff - bond.inner_width for bond in bonds], dtype=torch.float64
        )

    @property
    def has_repulsion(self) -> bool:
        return any(bond.core_prefactor != 0.0 for row in self.spec.bonds for bond in row)

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        spec, neighbours = self.spec, species[edge_neighbour]
        vectors = turned(edge_vectors)
        distances = vectors.square().sum(dim=1).sqrt()
        pairs = species[edge_centre] * len(self.atomic_numbers) + neighbours
        functions = self.radial(distances, pairs)
        harmonics = real_harmonics(vectors, distances, spec.l_max)
        shape = len(species) * len(self.atomic_numbers), spec.n_base + 1, harmonics.shape[1]
        terms = functions[:, :, None] * harmonics[:, None, :]
        slots = edge_centre * len(self.atomic_numbers) + neighbours
        moments = terms.new_zeros(shape).index_add(0, slots, terms).view(len(species), -1, *shape[1:])
        core = moments[:, :, -1, 0].sum(dim=1)
        if spec.inner_cutoff == "zbl":
            beyond = distances - self.inner_starts[pairs]
            nearest, widths = nearest_neighbours(beyond, self.inner_widths[pairs], edge_centre, len(species))
        energies = edge_vectors.new_zeros(len(species))
        for row in range(len(self.atomic_numbers)):
            of_row = torch.nonzero(species == row)[:, 0]
            densities = self._densities(row, moments[of_row, :, :-1])
            energy = embedded(spec.embeddings[row], densities)
            if spec.inner_cutoff == "zbl":
                energy = with_zbl(energy, core[of_row], nearest[of_row], widths[of_row])
            else:
                energy = with_core(spec.embeddings[row], energy, core[of_row])
            energies = energies.index_add(0, of_row, energy + spec.atom_energies[row])
        return energies

    def _densities(self, row: int, moments: Tensor) -> Tensor:
        """Return the densities (n_atoms, n_densities) of atoms of element ``row``.

        ``moments`` are the sums of g_k Y_lm with real harmonics, shape (n_atoms, n_elements, n_base, (l_max + 1)^2).
        """
        spec = self.spec
        orders = torch.tensor([order for order in range(spec.l_max + 1) for _ in range(2 * order + 1)])
        radial = self.weights["radial"][row][:, :, orders]
        real, imaginary = complex_parts(torch.einsum("aekh,enhk->aenh", moments, radial), spec.l_max)
        sums = torch.complex(real, imaginary).flatten(1)
        n_harmonics = len(orders)
        found = moments.new_zeros(len(moments), len(spec.embeddings[row].weights))
        for rank in self.trained.ranks(row):
            factors, coefficients = (self.weights[f"{name}.{row}.{rank}"] for name in ("factors", "coefficients"))
            if rank == 1:
                values = moments[:, factors[:, 0, MU], factors[:, 0, N], 0]
                found = found + values @ coefficients
                continue
            columns = (factors[:, :, MU] * spec.n_radial + factors[:, :, N]) * n_harmonics
            columns = columns + factors[:, :, L] * (factors[:, :, L] + 1) + factors[:, :, M]
            together = max(1, _NUMBERS_TOGETHER // max(1, len(moments) * rank))
            for some, weights in zip(columns.split(together), coefficients.split(together), strict=True):
                products = sums[:, some[:, 0]]
                for k in range(1, rank):
                    products = products * sums[:, some[:, k]]
                found = found + products.real @ weights
        return found
