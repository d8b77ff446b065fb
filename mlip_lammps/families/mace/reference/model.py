"""The reference MACE model in plain torch and e3nn, with any dtype; compiled files are compared with it."""

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mlip_lammps.families.mace.embeddings import READOUT, global_inputs
from mlip_lammps.families.mace.heads import select_head
from mlip_lammps.families.mace.interactions import block_of
from mlip_lammps.families.mace.reference.blocks import Layer
from mlip_lammps.families.mace.reference.global_embedding import GlobalEmbedding
from mlip_lammps.families.mace.reference.interaction import LayerInputs
from mlip_lammps.families.mace.reference.modules import load_linear
from mlip_lammps.families.mace.reference.pair_repulsion import PairRepulsion
from mlip_lammps.families.mace.reference.radial import RadialBasis
from mlip_lammps.families.mace.spec import MaceModel
from mlip_lammps.families.reference import ReferenceModel


class MaceReference(ReferenceModel):
    """MACE (arXiv 2206.07697) with the weights of a trained model.

    Parameters
    ----------
    trained
        Spec and weights of a model with one head.
    dtype
        Precision of all operations; weights are cast to it.
    radial_functions
        Replacement of the trained radial functions, for example tables: one function per layer from distances, shape
        (n,), to convolution weights, shape (n, n_weights). If radial functions depend on elements, its second
        argument is the atomic numbers of centres and neighbours, shape (2, n).
    """

    def __init__(
        self,
        trained: MaceModel,
        dtype: torch.dtype = torch.float64,
        radial_functions: Sequence[Callable[[Tensor], Tensor]] | None = None,
    ):
        trained = select_head(trained, None)
        spec, weights = trained.spec, trained.weights
        super().__init__(spec.atomic_numbers, spec.cutoff, dtype, global_inputs(spec))
        self.radial_functions = radial_functions
        self.spec = spec
        self.latent_ewald = spec.latent_ewald
        self.radial_basis = RadialBasis(spec, weights, dtype)
        self.register_buffer("number_of_species", torch.tensor(spec.atomic_numbers))
        self.embedding = load_linear(
            f"{len(spec.atomic_numbers)}x0e", spec.irreps_embedding, weights["node_embedding.linear.weight"], dtype
        )
        self.global_embedding = GlobalEmbedding(spec.embeddings, weights, dtype) if spec.embeddings else None
        self.embedding_readout = None
        if spec.has_embedding_readout:
            self.embedding_readout = load_linear(spec.irreps_embedding, "1x0e", weights[READOUT], dtype)
        self.layers = nn.ModuleList(Layer(trained, t, dtype) for t in range(1, spec.n_layers + 1))
        blocks = [block_of(layer.interaction) for layer in spec.layers]
        self.has_pair_functions = spec.radial.distance_transform is not None or any(
            block.has_pair_network for block in blocks
        )
        self.pair_repulsion = None
        if spec.pair_repulsion is not None:
            self.pair_repulsion = PairRepulsion(spec, weights, dtype)
        energies = np.atleast_2d(weights["atomic_energies_fn.atomic_energies"])[0]
        self.register_buffer("atomic_energies", torch.tensor(energies, dtype=dtype))
        for name in ("scale", "shift"):
            value = np.atleast_1d(weights[f"scale_shift.{name}"])[0]
            self.register_buffer(name, torch.tensor(value, dtype=dtype))

    @property
    def has_repulsion(self) -> bool:
        return self.pair_repulsion is not None

    def with_radial_functions(self, functions: Sequence[Callable[[Tensor], Tensor]]) -> "MaceReference":
        other = copy.copy(self)
        other.radial_functions = functions
        return other

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        return self.energies_and_charges(species, edge_vectors, edge_centre, edge_neighbour)[0]

    def energies_and_charges(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        one_hot = nn.functional.one_hot(species, len(self.spec.atomic_numbers)).to(self.dtype)
        # In MACE, vectors point from the sender j to the receiver i.
        vectors = -edge_vectors.to(self.dtype)
        pairs = torch.stack([species[edge_centre], species[edge_neighbour]])
        basis, cutoff, harmonics = self.radial_basis(vectors, *pairs)
        features = self.embedding(one_hot)
        constants = self.shift + self.atomic_energies[species]
        if self.global_embedding is not None:
            features = features + self.global_embedding(self.global_values)
        if self.embedding_readout is not None:
            constants = constants + self.embedding_readout(features).squeeze(1)
        interaction, charges = torch.zeros_like(one_hot[:, 0]), torch.zeros_like(one_hot[:, 0])
        for t, layer in enumerate(self.layers, start=1):
            weights = None
            if self.radial_functions is not None:
                numbers = (self.number_of_species[pairs],) if self.has_pair_functions else ()
                weights = self.radial_functions[t - 1](torch.linalg.norm(vectors, dim=1), *numbers)
            inputs = LayerInputs(features, one_hot, weights, basis, cutoff, harmonics, edge_centre, edge_neighbour)
            features = layer(inputs)
            interaction = interaction + layer.energies(features)
            charges = charges + layer.charges(features)
        if self.pair_repulsion is not None:
            interaction = interaction + self.pair_repulsion(species, vectors, edge_centre, edge_neighbour)
        return self.scale * interaction + constants, None if self.latent_ewald is None else charges
