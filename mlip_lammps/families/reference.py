"""Base class of reference models: energies, forces and stress in plain torch."""

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from torch import Tensor, nn

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.families.latent_ewald import latent_energy
from mlip_lammps.structure.evaluation import Evaluation, LongRange
from mlip_lammps.structure.global_inputs import GlobalInput, values_of
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.structure.latent_ewald import LATENT_CHARGES, LatentEwald, require_place


class ReferenceModel(nn.Module):
    """Reference implementation of a model, with which compiled files are compared.

    Parameters
    ----------
    atomic_numbers
        Elements in species order.
    cutoff
        Cutoff in angstrom.
    dtype
        Precision of all operations.
    global_inputs
        Numbers of the whole system that the model takes.

    Attributes
    ----------
    global_values
        Values of the global inputs that ``node_energies`` uses; ``evaluate`` takes those of the structure.
    latent_ewald
        Long-range energy of the charges of ``energies_and_charges``, which ``evaluate`` adds; None for most models.
    splits_gradients
        Whether an edge and its reverse share their gradient as in the layers; otherwise only forces are comparable.
    """

    splits_gradients = True

    def __init__(
        self,
        atomic_numbers: tuple[int, ...],
        cutoff: float,
        dtype: torch.dtype = torch.float64,
        global_inputs: Sequence[GlobalInput] = (),
    ):
        super().__init__()
        self.atomic_numbers = atomic_numbers
        self.cutoff = cutoff
        self.dtype = dtype
        self.global_inputs = tuple(global_inputs)
        self.global_values = tuple(one.default for one in self.global_inputs)
        self.latent_ewald: LatentEwald | None = None

    @abstractmethod
    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        """Return atomic energies in eV, shape (n_atoms,), differentiable with respect to ``edge_vectors``.

        Parameters
        ----------
        species
            Indices into the element table, shape (n_atoms,), int64.
        edge_vectors
            Vectors r_ij = x_j - x_i in angstrom, shape (n_edges, 3).
        edge_centre, edge_neighbour
            Indices i and j, shape (n_edges,), int64; atom i receives messages from atom j.
        """

    def energies_and_charges(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return ``node_energies``, and latent charges of the same shape or None; a model with charges overrides it."""
        return self.node_energies(species, edge_vectors, edge_centre, edge_neighbour), None

    def node_properties(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> dict[str, Tensor]:
        """Return further results for each atom by name, shape (n_atoms,); for the parameters see ``node_energies``."""
        return {}

    @property
    def has_repulsion(self) -> bool:
        """Whether the model has an explicit pair repulsion for atoms closer than a bond length."""
        return False

    def with_radial_functions(self, functions: Sequence[Callable[[Tensor], Tensor]]) -> "ReferenceModel":
        """Return the same model with other radial functions, for example tables; only lowered models support this.

        Parameters
        ----------
        functions
            One function per layer, from distances, shape (n,), to convolution weights, shape (n, n_weights).
        """
        raise NotImplementedError(f"{type(self).__name__} has no radial functions to replace")

    def with_inputs_of(self, graph: Graph) -> "ReferenceModel":
        """Return the same model with the global inputs of a structure.

        Raises
        ------
        UserInputError
            If the model does not take one of them.
        """
        other = copy.copy(self)
        other.global_values = values_of(self.global_inputs, graph.global_inputs, "the model")
        return other

    def evaluate(self, atoms: Atoms) -> Evaluation:
        """Return energy, forces and stress of ``atoms``, with its charge and spin if the model takes them.

        Raises
        ------
        UserInputError
            If ``atoms`` contains an element that the model does not know, or has another charge or spin than the model
            takes.
        """
        graph = build_graph(atoms, self.cutoff)
        species = torch.from_numpy(self.species_of(graph.atomic_numbers))
        centre, neighbour = torch.from_numpy(graph.edge_centre), torch.from_numpy(graph.edge_neighbour)
        vectors = torch.tensor(graph.edge_vectors, dtype=self.dtype, requires_grad=True)
        model = self.with_inputs_of(graph)
        node_energies, charges = model.energies_and_charges(species, vectors, centre, neighbour)
        total, far, long_range, properties = node_energies.sum(), None, None, {}
        if charges is not None:
            far = latent_energy(self.latent_ewald, charges.detach(), *require_place(graph))
            total = total + (charges * far.potentials.to(charges.dtype)).sum()
            node_energies = node_energies + far.atom_energies
            long_range = LongRange(-far.gradients.numpy(), far.virial.numpy())
            properties = {LATENT_CHARGES: charges.detach().to(torch.float64).numpy()}
        (gradients,) = torch.autograd.grad(total, vectors, materialize_grads=True)
        edge_gradients = gradients.to(torch.float64).numpy()
        per_atom = node_energies.detach().to(torch.float64).numpy()
        with torch.no_grad():
            further = self.node_properties(species, vectors, centre, neighbour)
        properties |= {name: values.to(torch.float64).numpy() for name, values in further.items()}
        return Evaluation.of_edges(graph, per_atom, edge_gradients, None, properties, long_range)

    def centroid_virials(self, atoms: Atoms) -> NDArray[np.float64]:
        """Return the per-atom virials of an isolated cluster in eV, shape (n_atoms, 3, 3).

        The virial of atom n is W_n = sum_i (x_i - x_n) (x) dU_i/dx_n, where U_i is the energy of atom i. Its product
        with the velocity of n, summed over atoms, is the potential part of the heat flux:
        d/dt sum_i x_i e_i = sum_i e_i v_i + sum_n W_n v_n (Fan et al., Phys. Rev. B 92, 094301 (2015)).

        Raises
        ------
        UserInputError
            If ``atoms`` is periodic or contains an element that the model does not know, or if the energy of the model
            has a sum over all atoms.
        """
        if self.latent_ewald is not None:
            raise UserInputError(
                "the energy of the model has a sum over all atoms, which is not a sum of energies of atoms; per-atom "
                "virials with nine components are not defined for it"
            )
        if atoms.pbc.any():
            raise UserInputError(
                f"the structure is periodic (pbc {atoms.pbc.tolist()}), but per-atom virials are defined for isolated "
                "clusters only; set pbc=False"
            )
        graph = build_graph(atoms, self.cutoff)
        species = torch.from_numpy(self.species_of(graph.atomic_numbers))
        centre, neighbour = torch.from_numpy(graph.edge_centre), torch.from_numpy(graph.edge_neighbour)
        positions = torch.tensor(atoms.positions, dtype=self.dtype, requires_grad=True)
        vectors = positions[neighbour] - positions[centre]
        node_energies = self.with_inputs_of(graph).node_energies(species, vectors, centre, neighbour)
        virials = np.zeros((len(atoms), 3, 3))
        for i, energy in enumerate(node_energies):
            (gradient,) = torch.autograd.grad(energy, positions, retain_graph=True, materialize_grads=True)
            apart = atoms.positions[i] - atoms.positions
            virials += apart[:, :, None] * gradient.numpy()[:, None, :]
        return virials

    def species_of(self, atomic_numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the indices of ``atomic_numbers`` in the element table, shape (n_atoms,)."""
        rows = {number: row for row, number in enumerate(self.atomic_numbers)}
        unknown = sorted({int(number) for number in atomic_numbers} - set(rows))
        if unknown:
            known = ", ".join(chemical_symbols[number] for number in rows)
            named = ", ".join(chemical_symbols[number] for number in unknown)
            raise UserInputError(
                f"the structure contains {named}, but the model knows {known}; "
                "remove these atoms or use a model trained on them"
            )
        return np.array([rows[int(number)] for number in atomic_numbers], dtype=np.int64)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make e3nn round its coupling constants as the program that trained the model does."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
