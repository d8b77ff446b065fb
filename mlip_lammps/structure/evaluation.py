"""Results of a model for a structure: one type for every engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.structure.graph import (
    Graph,
    atom_virials_from_gradients,
    forces_from_gradients,
    virial_from_gradients,
)


@dataclass(frozen=True)
class LongRange:
    """Derivatives of the energy of a sum over all atoms at fixed charges.

    Attributes
    ----------
    forces
        Forces in eV/angstrom, shape (n_atoms, 3).
    virial
        Virial in eV, shape (6,), order and sign of ``Evaluation.virial``.
    atom_virials
        Virials of atoms in eV, shape (n_atoms, 6), whose sum is ``virial``: each takes the part of its charge in the
        potential of all. None if they were not requested.
    """

    forces: NDArray[np.float64]
    virial: NDArray[np.float64]
    atom_virials: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Evaluation:
    """Energy of a structure and its derivatives; None marks results that were not requested or do not exist.

    Attributes
    ----------
    energy
        Total energy in eV.
    node_energies
        Atomic energies in eV, shape (n_atoms,).
    forces
        Forces in eV/angstrom, shape (n_atoms, 3).
    virial
        Stress times volume in eV, shape (6,), Voigt order xx yy zz yz xz xy, positive in tension.
    centroid_virials
        Per-atom virials sum_i (x_i - x_n) (x) dU_i/dx_n of atoms n in eV, shape (n_atoms, 3, 3), where U_i is the
        energy of atom i.
    volume
        Cell volume in angstrom^3; None without three cell vectors or without a periodic direction.
    edge_gradients
        dE/dr_ij in eV/angstrom, shape (n_edges, 3), in the edge order of ``graph``.
    edge_moments
        sum_k (x_k - x_i) (x) dU_k/dr_ij of edges in eV, shape (n_edges, 3, 3).
    graph
        Graph with the edges that the model used.
    node_properties
        Further results for each atom by name, shape (n_atoms,): ``magmoms``, absolute magnetic moments in Bohr
        magnetons; ``latent_charges``. Empty for most models.
    long_range
        What a sum over all atoms adds to forces and virial; None for most models.
    """

    energy: float
    node_energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    virial: NDArray[np.float64] | None = None
    centroid_virials: NDArray[np.float64] | None = None
    volume: float | None = None
    edge_gradients: NDArray[np.float64] | None = None
    edge_moments: NDArray[np.float64] | None = None
    graph: Graph | None = None
    node_properties: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    long_range: LongRange | None = None

    @property
    def stress(self) -> NDArray[np.float64] | None:
        """Stress in eV/angstrom^3, shape (6,), Voigt order xx yy zz yz xz xy, positive in tension."""
        return None if self.virial is None or self.volume is None else self.virial / self.volume

    @property
    def stresses(self) -> NDArray[np.float64] | None:
        """Stresses of atoms in eV/angstrom^3, shape (n_atoms, 6), whose sum is ``stress``, as ASE has them."""
        if self.graph is None or self.edge_gradients is None or self.volume is None:
            return None
        virials = atom_virials_from_gradients(self.graph, self.edge_gradients)
        if self.long_range is not None:
            if self.long_range.atom_virials is None:
                return None
            virials = virials + self.long_range.atom_virials
        return virials / self.volume

    @classmethod
    def of_edges(
        cls,
        graph: Graph,
        node_energies: NDArray[np.float64],
        edge_gradients: NDArray[np.float64],
        edge_moments: NDArray[np.float64] | None = None,
        node_properties: Mapping[str, NDArray[np.float64]] | None = None,
        long_range: LongRange | None = None,
    ) -> "Evaluation":
        """Return the results that follow from atomic energies, edge gradients and what a sum over all atoms adds.

        Notes
        -----
        With g_ij = dE/dr_ij, each edge adds g_ij to the force on i and subtracts it from the force on j. The virial is
        the sum of r_ij (x) g_ij.
        """
        forces, virial = forces_from_gradients(graph, edge_gradients), virial_from_gradients(graph, edge_gradients)
        if long_range is not None:
            forces, virial = forces + long_range.forces, virial + long_range.virial
        return cls(
            energy=float(node_energies.sum()),
            node_energies=node_energies,
            forces=forces,
            virial=virial,
            volume=graph.volume,
            edge_gradients=edge_gradients,
            edge_moments=edge_moments,
            graph=graph,
            node_properties=dict(node_properties or {}),
            long_range=long_range,
        )
