"""Two minimal plain-torch model families, as another package would define them.

``LennardJones`` has one layer. ``Counting`` has two layers; between them, atoms send a scalar to their neighbours. The
model files are JSON.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.reference import ReferenceModel


@dataclass(frozen=True)
class ToyModel:
    """Model of either family: parameters of each element."""

    family: str
    atomic_numbers: tuple[int, ...]
    cutoff: float
    n_layers: int
    sizes: tuple[float, ...]
    strengths: tuple[float, ...]
    source_name: str
    source_sha256: str

    @property
    def dtype(self) -> str:
        return "float64"

    def content_digest(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()

    def describe(self) -> dict[str, Any]:
        return {"model_class": self.family}

    def facts(self) -> dict[str, Any]:
        return {"atomic_numbers": self.atomic_numbers, "cutoff": self.cutoff}


def envelope(distances: Tensor, cutoff: float) -> Tensor:
    """Return a smooth step from 1 to 0 with two continuous derivatives."""
    x = (distances / cutoff).clamp(max=1.0)
    return (1.0 - x) ** 3 * (1.0 + 3.0 * x + 6.0 * x * x)


def pair_energies(model: ToyModel, distances: Tensor, sizes: Tensor, strengths: Tensor) -> Tensor:
    """Return a softened Lennard-Jones energy of each directed edge in eV."""
    ratio = (sizes**2 / (distances**2 + 0.3 * sizes**2)) ** 3
    return 2.0 * strengths * (ratio * ratio - ratio) * envelope(distances, model.cutoff)


def sum_over(values: Tensor, centre: Tensor, n_local: int) -> Tensor:
    return values.new_zeros(n_local).index_add(0, centre, values)


def edge_numbers(model: ToyModel, centre_species: Tensor, species: Tensor, graph: EdgeGraph) -> tuple[Tensor, Tensor]:
    """Return size and strength of each edge, averaged over its two elements."""
    i, j = centre_species.index_select(0, graph.edge_centre), species.index_select(0, graph.edge_neighbour)
    tables = (torch.tensor(numbers, dtype=torch.float64) for numbers in (model.sizes, model.strengths))
    return tuple(0.5 * (table.index_select(0, i) + table.index_select(0, j)) for table in tables)


class ToyChain(Chain):
    def __init__(self, model: ToyModel, dtype: str):
        super().__init__(dtype, model.n_layers)
        self.model = model

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        distances = (graph.edge_vectors**2).sum(dim=1).sqrt()
        weights = envelope(distances, self.model.cutoff)
        if t == 1:
            pairs = pair_energies(
                self.model, distances, *edge_numbers(self.model, graph.centre_species, graph.species, graph)
            )
            energies = sum_over(pairs, graph.edge_centre, graph.n_local)
            if self.n_layers == 1:
                return {}, energies
            counts = sum_over(weights, graph.edge_centre, graph.n_local)
            return {"features_1": torch.sin(counts).unsqueeze(1).to(self.precision.features)}, energies
        received = weights * features.to(torch.float64).index_select(0, graph.edge_neighbour)[:, 0]
        return {}, 0.1 * sum_over(received, graph.edge_centre, graph.n_local) ** 2


class ToyLayers(LayeredModel):
    def __init__(self, model: ToyModel, atomic_numbers: tuple[int, ...]):
        rows = [model.atomic_numbers.index(z) for z in atomic_numbers]
        sizes, strengths = (tuple(numbers[row] for row in rows) for numbers in (model.sizes, model.strengths))
        self.model = ToyModel(
            model.family, atomic_numbers, model.cutoff, model.n_layers, sizes, strengths, model.source_name, ""
        )
        self.atomic_numbers, self.cutoff = atomic_numbers, model.cutoff
        self.feature_widths = (1,) * (model.n_layers - 1)

    def chain(self, dtype: str, operators: object) -> ToyChain:
        return ToyChain(self.model, dtype)


class ToyReference(ReferenceModel):
    """Reference that does not use the layers, so that errors in their combination show."""

    def __init__(self, model: ToyModel):
        super().__init__(model.atomic_numbers, model.cutoff)
        self.model = model

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        n, distances = len(species), torch.linalg.norm(edge_vectors, dim=1)
        graph = EdgeGraph(species, edge_vectors, edge_centre, edge_neighbour, species)
        energies = sum_over(
            pair_energies(self.model, distances, *edge_numbers(self.model, species, species, graph)), edge_centre, n
        )
        if self.model.n_layers == 1:
            return energies
        weights = envelope(distances, self.cutoff)
        scalars = torch.sin(sum_over(weights, edge_centre, n))
        return energies + 0.1 * sum_over(weights * scalars[edge_neighbour], edge_centre, n) ** 2


@dataclass(frozen=True)
class ToyFamily:
    """A toy family, see ``Family``."""

    name: str
    n_layers: int
    files: str = "toys (.json)"

    def is_model_file(self, path: Path, start: bytes) -> bool:
        return path.suffix == ".json" and json.loads(path.read_text()).get("family") == self.name

    def read(self, path: Path) -> ToyModel:
        text = path.read_bytes()
        fields = json.loads(text)
        return ToyModel(
            self.name,
            tuple(fields["atomic_numbers"]),
            fields["cutoff"],
            self.n_layers,
            tuple(fields["sizes"]),
            tuple(fields["strengths"]),
            path.name,
            hashlib.sha256(text).hexdigest(),
        )

    def reference(self, trained: ToyModel) -> ToyReference:
        return ToyReference(trained)

    def layers(self, trained: ToyModel, atomic_numbers: tuple[int, ...]) -> ToyLayers:
        return ToyLayers(trained, atomic_numbers)


LENNARD_JONES = ToyFamily("lennard-jones", 1)
COUNTING = ToyFamily("counting", 2)


def write_toy(family: ToyFamily, path: Path) -> Path:
    fields = {"family": family.name, "atomic_numbers": [1, 8], "cutoff": 4.0}
    fields |= {"sizes": [2.1, 2.6], "strengths": [0.02, 0.05]}
    path.write_text(json.dumps(fields))
    return path
