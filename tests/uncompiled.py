"""The layers of a model without compilation, one after the other on all atoms."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from numpy.typing import NDArray
from torch import Tensor

from mlip_lammps.families.chain import EdgeGraph
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.reference import ReferenceModel
from mlip_lammps.kernels.operators import LayerOperators
from mlip_lammps.model_file.contract import CHARGES
from mlip_lammps.structure.angles import angles_of
from mlip_lammps.structure.evaluation import Evaluation
from mlip_lammps.structure.graph import build_graph, forces_from_gradients


@dataclass(frozen=True)
class UncompiledResults:
    """Atomic energies and gradients of edges, and the outputs of the last layer, with the charges of all layers."""

    node_energies: NDArray[np.float64]
    edge_gradients: NDArray[np.float64]
    outputs: dict[str, Tensor]

    def assert_equal(self, expected: Evaluation, limit: float, splits_gradients: bool = True) -> None:
        """Compare with an evaluation, with the further results for each atom; see ``ReferenceModel``."""
        np.testing.assert_allclose(self.node_energies, expected.node_energies, rtol=0, atol=limit)
        if splits_gradients:
            np.testing.assert_allclose(self.edge_gradients, expected.edge_gradients, rtol=0, atol=limit)
        forces = forces_from_gradients(expected.graph, self.edge_gradients)
        np.testing.assert_allclose(forces, expected.forces, rtol=0, atol=limit * 10)
        for number, values in enumerate(expected.node_properties.values()):
            found = self.outputs["node_properties"].detach().numpy()[:, number]
            np.testing.assert_allclose(found, values, rtol=0, atol=limit)


def run_layers(
    layers: LayeredModel,
    reference: ReferenceModel,
    atoms: Atoms,
    dtype: str,
    operators: LayerOperators | None = None,
) -> UncompiledResults:
    """Return the results of the layers, by default with torch operators and exact radial functions."""
    chain = layers.chain(dtype, operators or layers.operators("torch", dtype, "exact", Path()))
    edges = build_graph(atoms, layers.cutoff)
    species, centre, neighbour = (
        torch.from_numpy(one)
        for one in (reference.species_of(edges.atomic_numbers), edges.edge_centre, edges.edge_neighbour)
    )
    vectors = torch.from_numpy(edges.edge_vectors).requires_grad_(True)
    angles = None
    if layers.angle_cutoff > 0.0:
        angles = torch.from_numpy(angles_of(edges.edge_centre, edges.edge_vectors, layers.angle_cutoff))
    features = skips = None
    charges = 0.0
    total = torch.zeros(len(atoms), dtype=torch.float64)
    for t in range(1, layers.n_layers + 1):
        of_all, of_edges = (species, None) if t == 1 else (None, species[neighbour])
        graph = EdgeGraph(species, vectors, centre, neighbour, of_all, of_edges, angle_edges=angles)
        outputs, energies = chain.layer(t, graph, features, skips)
        total = total + energies
        if CHARGES in outputs:
            charges = charges + outputs[CHARGES]
            outputs = outputs | {CHARGES: charges}
        features, skips = outputs.get(f"features_{t}"), outputs.get(f"skips_{t}")
        if t < layers.n_layers:
            assert features.shape[1] == layers.feature_widths[t - 1]
            assert (0 if skips is None else skips.shape[1]) == layers.skip_widths[t - 1]
    (gradients,) = torch.autograd.grad(total.sum(), vectors)
    return UncompiledResults(total.detach().numpy(), gradients.numpy(), outputs)
