"""The atomic cluster expansion as one layer: densities of the kernels, and embeddings in torch."""

from pathlib import Path

from torch import Tensor

from mlip_lammps.families.ace.energies import AtomEnergies
from mlip_lammps.families.ace.expansion import cluster_expansion, turned
from mlip_lammps.families.ace.spec import AceModel
from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.kernels.operators import ExpansionOperators, expansion_operators

_CHUNK_ATOMS = 128


class AceLayers(LayeredModel):
    """A potential for some of its elements as a chain of one layer."""

    has_operators = True
    is_in_float64 = True  # sums of products with coefficients of both signs cancel

    def __init__(self, trained: AceModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff
        self.rows = [trained.atomic_numbers.index(number) for number in atomic_numbers]

    @property
    def is_smooth_at_cutoff(self) -> bool:
        bonds = [self.trained.spec.bonds[i][j] for i in self.rows for j in self.rows]
        return not any(bond.basis == "ChebLinear" for bond in bonds)

    def chunk_atoms(self) -> int:
        return _CHUNK_ATOMS

    def operators(self, name: str, dtype: str, radial: str, scratch: Path) -> ExpansionOperators:
        return expansion_operators(name, cluster_expansion(self.trained, self.rows), radial, scratch)

    def chain(self, dtype: str, operators: ExpansionOperators) -> "AceChain":
        return AceChain(self, dtype, operators)


class AceChain(Chain):
    """The layer, in float64 for all precisions."""

    def __init__(self, model: AceLayers, dtype: str, operators: ExpansionOperators):
        super().__init__(dtype, 1)
        self.operators = operators
        self.energies = AtomEnergies(model.trained.spec, model.rows)

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        source, species = graph.neighbour_species(), graph.centre_species
        vectors, centre = graph.edge_vectors, graph.edge_centre
        densities = self.operators.densities(turned(vectors), centre, source, species)
        core = self.operators.core(vectors, centre, source, species)
        return {}, self.energies(densities, core, species, vectors, centre, source)
