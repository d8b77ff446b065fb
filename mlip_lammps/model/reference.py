"""The reference MACE: plain torch and e3nn, any dtype; what every faster path is compared with."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from torch import Tensor, nn

from mlip_lammps.checkpoint import TrainedModel
from mlip_lammps.core.errors import UserInputError
from mlip_lammps.model.blocks import Layer, load_linear
from mlip_lammps.model.pair_repulsion import PairRepulsion
from mlip_lammps.model.radial import RadialBasis
from mlip_lammps.structure.graph import Graph, build_graph, forces_from_gradients, stress_from_gradients


@dataclass(frozen=True)
class Evaluation:
    """Energy of a structure and its derivatives.

    Attributes
    ----------
    energy
        eV.
    node_energies
        eV, shape (n_atoms,).
    forces
        eV/angstrom, shape (n_atoms, 3).
    stress
        eV/angstrom^3, shape (6,), Voigt order xx yy zz yz xz xy, positive in tension; None where the cell has no volume
        or no direction is periodic.
    edge_gradients
        dE / d r_ij in eV/angstrom, shape (n_edges, 3), in the order of ``graph``.
    graph
        The neighbour graph that was used.
    """

    energy: float
    node_energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None
    edge_gradients: NDArray[np.float64]
    graph: Graph


class ReferenceModel(nn.Module):
    """MACE as in arXiv 2206.07697, with the weights of a trained model.

    Parameters
    ----------
    trained
        Spec and weights.
    dtype
        Precision of every operation; weights are cast to it.
    radial_functions
        For each layer a function from distances (n,) to the weights of its convolution (n, n_weights), in place of the
        trained ones: for instance tables of them.
    """

    def __init__(
        self,
        trained: TrainedModel,
        dtype: torch.dtype = torch.float64,
        radial_functions: Sequence[Callable[[Tensor], Tensor]] | None = None,
    ):
        super().__init__()
        self.radial_functions = radial_functions
        spec, weights = trained.spec, trained.weights
        self.spec = spec
        self.dtype = dtype
        self.radial_basis = RadialBasis(spec, weights, dtype)
        self.embedding = load_linear(
            f"{len(spec.atomic_numbers)}x0e", spec.irreps_embedding, weights["node_embedding.linear.weight"], dtype
        )
        with _default_dtype(getattr(torch, spec.dtype)):
            self.layers = nn.ModuleList(Layer(spec, t, weights, dtype) for t in range(spec.n_layers))
        self.pair_repulsion = None
        if spec.pair_repulsion is not None:
            self.pair_repulsion = PairRepulsion(spec, weights, dtype)
        energies = np.atleast_2d(weights["atomic_energies_fn.atomic_energies"])[0]
        self.register_buffer("atomic_energies", torch.tensor(energies, dtype=dtype))
        for name in ("scale", "shift"):
            value = np.atleast_1d(weights[f"scale_shift.{name}"])[0]
            self.register_buffer(name, torch.tensor(value, dtype=dtype))

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        """Return the energy of every atom in eV, shape (n_atoms,), differentiable in ``edge_vectors``.

        Parameters
        ----------
        species
            Rows of the element table, shape (n_atoms,), int64.
        edge_vectors
            r_ij = x_j - x_i, angstrom, shape (n_edges, 3).
        edge_centre, edge_neighbour
            i and j, shape (n_edges,), int64: atom i receives from atom j.
        """
        one_hot = nn.functional.one_hot(species, len(self.spec.atomic_numbers)).to(self.dtype)
        # MACE's vectors point from the sender j to the receiver i.
        vectors = -edge_vectors.to(self.dtype)
        basis, cutoff, harmonics = self.radial_basis(vectors)
        features = self.embedding(one_hot)
        interaction = torch.zeros_like(one_hot[:, 0])
        for t, layer in enumerate(self.layers):
            if self.radial_functions is None:
                weights = layer.radial_weights(basis, cutoff)
            else:
                weights = self.radial_functions[t](torch.linalg.norm(vectors, dim=1))
            features = layer(features, one_hot, weights, harmonics, edge_centre, edge_neighbour)
            interaction = interaction + layer.energies(features)
        if self.pair_repulsion is not None:
            interaction = interaction + self.pair_repulsion(species, vectors, edge_centre, edge_neighbour)
        return self.scale * interaction + self.shift + self.atomic_energies[species]

    def evaluate(self, atoms: Atoms) -> Evaluation:
        """Return energy, forces and stress of ``atoms``.

        Raises
        ------
        UserInputError
            If ``atoms`` holds an element that the model does not know.

        Notes
        -----
        With g_ij = dE / d r_ij the force on i gains g_ij and that on j loses it; the stress is
        sum over edges of r_ij (x) g_ij over the volume.
        """
        graph = build_graph(atoms, self.spec.cutoff)
        species = torch.from_numpy(self.species_of(graph.atomic_numbers))
        centre, neighbour = torch.from_numpy(graph.edge_centre), torch.from_numpy(graph.edge_neighbour)
        vectors = torch.tensor(graph.edge_vectors, dtype=self.dtype, requires_grad=True)
        node_energies = self.node_energies(species, vectors, centre, neighbour)
        (gradients,) = torch.autograd.grad(node_energies.sum(), vectors, materialize_grads=True)
        edge_gradients = gradients.to(torch.float64).numpy()
        has_volume = atoms.pbc.any() and atoms.cell.rank == 3
        per_atom = node_energies.detach().to(torch.float64).numpy()
        return Evaluation(
            energy=float(per_atom.sum()),
            node_energies=per_atom,
            forces=forces_from_gradients(graph, edge_gradients),
            stress=stress_from_gradients(graph, edge_gradients, atoms.get_volume()) if has_volume else None,
            edge_gradients=edge_gradients,
            graph=graph,
        )

    def centroid_virials(self, atoms: Atoms) -> NDArray[np.float64]:
        """Return sum_i (x_i - x_n) (x) dU_i/dx_n of every atom n of an isolated cluster, eV, shape (n_atoms, 3, 3).

        U_i is the energy of atom i. Times the velocity of n and summed over atoms this is what the potential adds to
        the heat flux: d/dt sum_i x_i e_i = sum_i e_i v_i + sum_n W_n v_n (Fan et al., Phys. Rev. B 92, 094301 (2015)).

        Raises
        ------
        UserInputError
            If ``atoms`` is periodic, or holds an element that the model does not know.
        """
        if atoms.pbc.any():
            raise UserInputError("centroid virials are of clusters, and the structure is periodic; set pbc=False")
        graph = build_graph(atoms, self.spec.cutoff)
        species = torch.from_numpy(self.species_of(graph.atomic_numbers))
        centre, neighbour = torch.from_numpy(graph.edge_centre), torch.from_numpy(graph.edge_neighbour)
        positions = torch.tensor(atoms.positions, dtype=self.dtype, requires_grad=True)
        node_energies = self.node_energies(species, positions[neighbour] - positions[centre], centre, neighbour)
        virials = np.zeros((len(atoms), 3, 3))
        for i, energy in enumerate(node_energies):
            (gradient,) = torch.autograd.grad(energy, positions, retain_graph=True, materialize_grads=True)
            apart = atoms.positions[i] - atoms.positions
            virials += apart[:, :, None] * gradient.numpy()[:, None, :]
        return virials

    def species_of(self, atomic_numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of the element table for ``atomic_numbers``, shape (n_atoms,)."""
        rows = {number: row for row, number in enumerate(self.spec.atomic_numbers)}
        unknown = sorted({int(number) for number in atomic_numbers} - set(rows))
        if unknown:
            known = ", ".join(chemical_symbols[number] for number in rows)
            named = ", ".join(chemical_symbols[number] for number in unknown)
            raise UserInputError(
                f"the structure holds {named}, and the model knows {known}; "
                "remove these atoms or take a model trained on them"
            )
        return np.array([rows[int(number)] for number in atomic_numbers], dtype=np.int64)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make e3nn round its coupling constants as it did when the file was written; they stay so in every dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
