"""Settings of latent Ewald summation and the structures for which it is defined; no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.structure.graph import Graph

LATENT_CHARGES = "latent_charges"
"""Name of the latent charges among the further results for each atom."""


@dataclass(frozen=True)
class LatentEwald:
    r"""Electrostatic energy of the latent charges of all atoms, smeared by Gaussians.

    Attributes
    ----------
    sigma
        Width of the Gaussians in angstrom.
    resolution
        Shortest wavelength of the sum over reciprocal vectors in angstrom (``dl`` of the package ``les``).
    strength
        1 / (2 epsilon_0) in eV angstrom, as rounded in the trained model.
    has_self_interaction
        Whether the energy of each Gaussian with itself is part of the energy.
    removes_mean
        Whether the polarization, of which Born effective charges are the derivatives, is that of the charges minus
        their mean.
    epsilon
        High-frequency permittivity, relative to vacuum; the polarization is multiplied by its square root.

    Notes
    -----
    With periodic boundaries E = (strength / V) sum_k exp(-sigma^2 k^2 / 2) / k^2 \|sum_i q_i exp(i k x_i)\|^2 over the
    reciprocal vectors 0 < \|k\| <= 2 pi / resolution, minus strength sum_i q_i^2 / (sigma (2 pi)^(3/2)) without
    self-interaction. Without periodic boundaries E = strength / (4 pi) sum_{i != j} q_i q_j erf(r_ij / (sqrt(2) sigma))
    / r_ij, plus the same sum over q_i^2 with self-interaction. Source: B. Cheng, npj Comput. Mater. 11, 80 (2025).

    The vectors of the sum depend on the cell: an energy jumps by a term of the sum where a vector crosses the bound.
    """

    sigma: float
    resolution: float
    strength: float
    has_self_interaction: bool
    removes_mean: bool = True
    epsilon: float = 1.0

    def as_dict(self) -> dict[str, Any]:
        """Return the settings for the metadata of a compiled file."""
        return asdict(self)

    @classmethod
    def in_metadata(cls, metadata: Mapping[str, Any]) -> "LatentEwald | None":
        """Return the settings in the metadata of a compiled file, or None for a model without latent charges."""
        return cls(**metadata["latent_ewald"]) if "latent_ewald" in metadata else None


def require_place(graph: Graph) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return the positions of a graph in angstrom and its cell (3, 3), or None for the cell without boundaries.

    Raises
    ------
    UserInputError
        If the graph has no positions, or is periodic in one or two directions only.
    """
    if graph.positions is None or graph.periodic is None:
        raise UserInputError("the model has latent charges, and the graph lacks positions and cell; use build_graph")
    if not any(graph.periodic):
        return graph.positions, None
    if not all(graph.periodic):
        raise UserInputError(
            f"the structure has pbc {list(graph.periodic)}, but the long-range energy of the model is defined for "
            "periodic boundaries in all directions or in none; set pbc to one of these"
        )
    return graph.positions, graph.cell
