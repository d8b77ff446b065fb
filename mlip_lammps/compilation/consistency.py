"""Checks of a model's layers that do not need a reference: ranks, padded edges and the cutoff.

They find mistakes of a family's layers that a comparison with its reference may miss, because both have them or because
the reference is always computed on one rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray
from torch import Tensor

from mlip_lammps.core.errors import MlipError
from mlip_lammps.core.limits import BETWEEN_ENGINES
from mlip_lammps.families.chain import Program
from mlip_lammps.families.latent_ewald import latent_energy
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.model_file.compiled_model import CompiledModel
from mlip_lammps.model_file.contract import ANGLES, CHARGE_GRADIENTS, CHARGES, NODE_TENSORS
from mlip_lammps.structure.angles import angles_of
from mlip_lammps.structure.graph import Graph, build_graph
from mlip_lammps.structure.latent_ewald import require_place
from mlip_lammps.structure.probes import small_probes

_BEYOND = (1.0 + 1e-9, 1.01, 2.0)
"""Lengths of padded edges as multiples of the cutoff; the C++ side pads with 2."""
_STEP = 1e-6
"""Distance to both sides of the cutoff as a fraction of it."""
_JUMP = 1e-4
"""Largest jump of an energy (eV) or force (eV/angstrom) over twice this step, relative to the largest force and besides
the rounding of the precision: a smooth model changes by a few 1e-6."""
_LARGEST_ENERGY = 1e10
"""In eV: the precision of float64 is 1e-6 eV there."""
_NOT_WRITTEN = "the file was not written; report the model"


@dataclass(frozen=True)
class _Rank:
    """Part of a graph: rows of its atoms, of all atoms that it knows, and of its edges."""

    own: Tensor
    nodes: Tensor
    edges: Tensor

    def local(self, atoms: Tensor) -> Tensor:
        """Return the place of each atom among ``nodes``."""
        place = torch.full((int(self.nodes.max()) + 1,), -1, dtype=torch.int64)
        place[self.nodes] = torch.arange(len(self.nodes))
        return place[atoms]


def check_ranks(model: LayeredModel, folder: Path) -> None:
    """Raise unless two simulated ranks, which exchange features as LAMMPS does, give the results of one.

    Parameters
    ----------
    folder
        For files of the operators.

    Raises
    ------
    MlipError
        If energies or gradients differ, or energies are not finite or above `_LARGEST_ENERGY`.
    """
    chain = model.chain("float64", model.operators("torch", "float64", "exact", folder))
    atoms = [*small_probes(_symbols(model), model.cutoff)][-2]
    atoms.pbc = False  # few edges: the layers are plain torch here
    graph = build_graph(atoms, model.cutoff)
    programs = [Program(chain, spec) for spec in model.programs]
    n = graph.n_atoms
    one, two = (_run(programs, model, graph, parts) for parts in ([range(n)], [range(0, n, 2), range(1, n, 2)]))
    largest = float(one[0].abs().max())
    if not largest < _LARGEST_ENERGY:
        raise MlipError(
            f"the trained model gives an energy of {largest:.1e} eV for an atom of {atoms.symbols}, which leaves no "
            "digits for forces; the file was not written; check the training"
        )
    limit = BETWEEN_ENGINES["float64"]
    energy, gradient = (float((a - b).abs().max()) for a, b in zip(one, two, strict=True))
    if not (energy <= limit.energy and gradient <= limit.force * max(1.0, float(one[1].abs().max()))):
        raise MlipError(
            f"the layers give other results on two ranks than on one: energies differ by {energy:.1e} eV and gradients "
            f"by {gradient:.1e} eV/angstrom for {atoms.symbols}; {_NOT_WRITTEN}"
        )


def check_edges(compiled: CompiledModel, is_smooth: bool = True) -> None:
    """Raise unless edges beyond the cutoff change nothing, and energies and forces are continuous at the cutoff.

    Parameters
    ----------
    is_smooth
        Whether to check the second condition, see ``LayeredModel.is_smooth_at_cutoff``.

    Raises
    ------
    MlipError
        If a check fails.
    """
    _check_padding(compiled)
    if is_smooth:
        _check_cutoff(compiled)


def _run(
    programs: Sequence[Program], model: LayeredModel, graph: Graph, parts: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor]:
    """Return atomic energies and edge gradients from ranks that own the atoms ``parts``."""
    rows = {number: row for row, number in enumerate(model.atomic_numbers)}
    species = torch.tensor([rows[int(number)] for number in graph.atomic_numbers])
    centre, neighbour = torch.from_numpy(graph.edge_centre), torch.from_numpy(graph.edge_neighbour)
    ranks = [_rank(torch.tensor(list(part)), centre, neighbour) for part in parts]
    vectors, ones = torch.from_numpy(graph.edge_vectors), torch.ones(graph.n_atoms, dtype=torch.float64)
    inputs = torch.tensor([one.default for one in model.global_inputs], dtype=torch.float64)
    of_atoms = {"species": species, "centre_species": species, "energy_weights": ones}
    energies, gradients, charges = torch.zeros_like(ones), torch.zeros_like(vectors), torch.zeros_like(ones)
    for program in programs:
        if CHARGE_GRADIENTS in program.spec.inputs and CHARGE_GRADIENTS not in of_atoms:
            far = latent_energy(model.latent_ewald, charges, *require_place(graph))
            of_atoms[CHARGE_GRADIENTS] = far.potentials
            energies += far.atom_energies
        found: dict[str, Tensor] = {}
        for rank in ranks:
            given = {
                "edge_vectors": vectors[rank.edges],
                "edge_centre": rank.local(centre[rank.edges]),
                "edge_neighbour": rank.local(neighbour[rank.edges]),
                "edge_species": species[neighbour[rank.edges]],
                "global_inputs": inputs,
                ANGLES: _angles(model, graph, rank),
            }
            for name in program.spec.inputs:
                if name not in given:
                    given[name] = of_atoms[name][rank.nodes if name.startswith(NODE_TENSORS) else rank.own]
            outputs = program(*(given[name] for name in program.spec.inputs))
            for name, output in zip(program.spec.outputs, outputs, strict=True):
                if name == "edge_gradients":
                    gradients.index_add_(0, rank.edges, output.detach())
                    continue
                is_sent_back = name.startswith("feature_gradients_")
                total = found.setdefault(name, output.new_zeros((graph.n_atoms, *output.shape[1:])))
                total.index_add_(0, rank.nodes if is_sent_back else rank.own, output.detach())
        energies += found.pop("node_energies", 0.0)
        charges += found.pop(CHARGES, 0.0)
        of_atoms |= found
    return energies, gradients


def _rank(own: Tensor, centre: Tensor, neighbour: Tensor) -> _Rank:
    edges = torch.isin(centre, own).nonzero().squeeze(1)
    seen = neighbour[edges].unique()
    return _Rank(own, torch.cat([own, seen[~torch.isin(seen, own)]]), edges)


def _angles(model: LayeredModel, graph: Graph, rank: _Rank) -> Tensor:
    edges = rank.edges.numpy()
    return torch.from_numpy(angles_of(graph.edge_centre[edges], graph.edge_vectors[edges], model.angle_cutoff))


def _check_padding(compiled: CompiledModel) -> None:
    atoms = [*small_probes(compiled.elements, compiled.cutoff)][-2]
    graph = build_graph(atoms, compiled.cutoff)
    direction = np.array([[0.6, -0.48, 0.64]])
    extra = np.concatenate([direction * length * compiled.cutoff for length in _BEYOND])
    n = graph.n_atoms
    centres, neighbours = (np.concatenate([known, new]) for known, new in (
        (graph.edge_centre, np.resize(np.arange(n), len(extra))),
        (graph.edge_neighbour, np.resize(np.arange(n)[::-1], len(extra))),
    ))  # fmt: skip
    order = np.argsort(centres, kind="stable")
    vectors = np.concatenate([graph.edge_vectors, extra])
    padded = replace(graph, edge_vectors=vectors[order], edge_centre=centres[order], edge_neighbour=neighbours[order])
    plain, found = compiled.evaluate(graph), compiled.evaluate(padded)
    gradients = np.empty_like(vectors)
    gradients[order] = found.edge_gradients
    limit = BETWEEN_ENGINES[compiled.metadata["dtype"]]
    energy = np.abs(found.node_energies - plain.node_energies).max()
    expected = np.concatenate([plain.edge_gradients, np.zeros_like(extra)])
    gradient = np.abs(gradients - expected).max()
    if not (energy <= limit.energy and gradient <= limit.force * max(1.0, np.abs(expected).max())):
        raise MlipError(
            f"edges beyond the cutoff change an energy by {energy:.1e} eV or a gradient by {gradient:.1e} eV/angstrom, "
            f"expected no change; {_NOT_WRITTEN}"
        )


def _check_cutoff(compiled: CompiledModel) -> None:
    first, last = compiled.elements[0], compiled.elements[-1]
    inside, outside = (_across(compiled, [first, last, first], 1.0 + step) for step in (-_STEP, _STEP))
    energy, force = (float(np.abs(a - b).max()) for a, b in zip(inside, outside, strict=True))
    rounding, largest = BETWEEN_ENGINES[compiled.metadata["dtype"]], max(1.0, float(np.abs(inside[1]).max()))
    if not (energy <= rounding.energy + _JUMP * largest and force <= (rounding.force + _JUMP) * largest):
        raise MlipError(
            f"energies jump by {energy:.1e} eV and forces by {force:.1e} eV/angstrom where an atom crosses the cutoff "
            f"(limit {_JUMP:.0e}), so that dynamics would not conserve the energy; {_NOT_WRITTEN}"
        )


def _across(
    compiled: CompiledModel, symbols: Sequence[str], distance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return atomic energies and forces of three atoms, the first and the last ``distance`` cutoffs apart."""
    reach = compiled.cutoff
    atoms = Atoms(list(symbols), positions=[[0, 0, 0], [0.4 * reach, 0.2 * reach, 0], [0, distance * reach, 0]])
    found = compiled.evaluate(build_graph(atoms, reach))
    return found.node_energies, found.forces


def _symbols(model: LayeredModel) -> tuple[str, ...]:
    return tuple(chemical_symbols[number] for number in model.atomic_numbers)
