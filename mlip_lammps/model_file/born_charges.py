"""Born effective charges of models with latent charges."""

import math

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.structure.evaluation import forces_from_gradients
from mlip_lammps.structure.graph import Graph
from mlip_lammps.structure.latent_ewald import LATENT_CHARGES, require_place


def born_charges(model: CompiledModel, graph: Graph) -> NDArray[np.float64]:
    """Return the Born effective charges of a model with latent charges, in units of the elementary charge.

    Returns
    -------
    array (n_atoms, 3, 3)
        Derivatives of the polarization (first index) with respect to the positions of the atoms (last index).

    Raises
    ------
    UserInputError, MlipError
        See ``CompiledModel.evaluate``.

    Notes
    -----
    The polarization is that of the latent charges: sum_i q_i x_i without periodic boundaries. With them, its component
    along a cell vector is sum_i q_i exp(2 pi i s_i) / (2 pi i) with the fractional coordinates s_i, and the derivative
    is divided by the phase of the displaced atom. P. Zhong et al., arXiv:2504.05169, and the package ``les``.

    The derivative has the charge of the displaced atom, and the change of all charges: gradients of sums of charges
    weighted with coordinates or with real and imaginary parts of the phases.
    """
    settings, (positions, cell) = model.latent_ewald, require_place(graph)
    uncharged = model.evaluate(graph, charge_weights=np.zeros(graph.n_atoms))
    charges = uncharged.node_properties[LATENT_CHARGES]

    def change(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the derivatives of the weighted sum of the charges, shape (n_atoms, 3)."""
        weights = weights - weights.mean() if settings.removes_mean else weights
        weighted = model.evaluate(graph, charge_weights=weights)
        return -forces_from_gradients(graph, weighted.edge_gradients - uncharged.edge_gradients)

    if settings.removes_mean:
        charges = charges - charges.mean()
    along = np.empty((graph.n_atoms, 3, 3))
    if cell is None:
        for axis in range(3):
            along[:, axis] = change(positions[:, axis])
            along[:, axis, axis] += charges
        return math.sqrt(settings.epsilon) * along
    inverse = np.linalg.inv(cell)
    angles = 2.0 * np.pi * positions @ inverse
    for axis, (cosine, sine) in enumerate(zip(np.cos(angles).T, np.sin(angles).T, strict=True)):
        of_others = cosine[:, None] * change(sine) - sine[:, None] * change(cosine)
        along[:, axis] = charges[:, None] * inverse[:, axis] + of_others / (2.0 * np.pi)
    return math.sqrt(settings.epsilon) * np.einsum("ba,nbk->nak", cell, along)
