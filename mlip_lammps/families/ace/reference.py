"""Reference implementation of the atomic cluster expansion."""

from torch import Tensor

from mlip_lammps.families.ace.energies import AtomEnergies
from mlip_lammps.families.ace.expansion import cluster_expansion, turned
from mlip_lammps.families.ace.spec import AceModel
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.kernels.torch.expansion_operators import TorchExpansion


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
        rows = range(len(self.atomic_numbers))
        self.spec = trained.spec
        self.expansion = TorchExpansion(cluster_expansion(trained, rows))
        self.energies = AtomEnergies(trained.spec, rows)

    @property
    def has_repulsion(self) -> bool:
        return any(bond.core_prefactor != 0.0 for row in self.spec.bonds for bond in row)

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        neighbours = species[edge_neighbour]
        densities = self.expansion.densities(turned(edge_vectors), edge_centre, neighbours, species)
        core = self.expansion.core(edge_vectors, edge_centre, neighbours, species)
        return self.energies(densities, core, species, edge_vectors, edge_centre, neighbours)
