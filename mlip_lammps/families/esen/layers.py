"""eSEN as a chain of layers of torch functions.

The first layer sums harmonics of the edges, and each further one is a block. An atom sends its features after the norm
of the next block, and keeps those before it. Rotations and radial functions are computed again in each layer.
"""

import torch
from torch import Tensor

from mlip_lammps.families.chain import Chain, EdgeGraph, Named
from mlip_lammps.families.esen.networks import (
    AtomNetwork,
    EnergyNetwork,
    GridNetwork,
    Messages,
    Norm,
    RadialNetwork,
    StateEmbedding,
)
from mlip_lammps.families.esen.rotations import couplings, rotation_matrices
from mlip_lammps.families.esen.spec import EsenModel, EsenSpec
from mlip_lammps.families.layered import LayeredModel
from mlip_lammps.families.state_weights import Weights
from mlip_lammps.kernels.operators import LayerOperators, NoOperators
from mlip_lammps.kernels.torch.rows import select_rows, sum_rows
from mlip_lammps.kernels.torch.spherical_harmonics import spherical_harmonics

_CHUNK_ATOMS = 16
"""Centres of a call: the messages of their edges are the largest arrays."""
_DEGREE_SCALE = 5.0
"""The first sum over neighbours is divided by this number."""


class EsenLayers(LayeredModel):
    """A model with one dataset for some of its elements."""

    def __init__(self, trained: EsenModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.atomic_numbers, self.cutoff = trained, atomic_numbers, trained.cutoff
        spec = trained.spec
        self.global_inputs = spec.global_inputs
        self.feature_widths = (spec.n_coefficients * spec.sphere_width,) * spec.n_blocks

    @property
    def skip_widths(self) -> tuple[int, ...]:
        """Widths of the features before the norm, and of the vector of charge and spin, which is in every block."""
        width = self.trained.spec.sphere_width if self.global_inputs else 0
        return tuple(features + width for features in self.feature_widths)

    @property
    def has_pair_functions(self) -> bool:
        return True

    def chunk_atoms(self) -> int:
        return _CHUNK_ATOMS

    def chain(self, dtype: str, operators: LayerOperators | NoOperators) -> "EsenChain":
        return EsenChain(self.trained, self.atomic_numbers, dtype)


class EsenChain(Chain):
    """Distances, rotations and Gaussians in float64, networks in the precision of the features."""

    def __init__(self, trained: EsenModel, atomic_numbers: tuple[int, ...], dtype: str):
        super().__init__(dtype, trained.n_layers)
        self.spec = spec = trained.spec
        rows = [spec.atomic_numbers.index(number) for number in atomic_numbers]
        arrays = dict(trained.weights)
        for name in ("sphere_embedding.weight", "source_embedding.weight", "target_embedding.weight"):
            arrays[name] = arrays[name][rows]
        weights, exact = (Weights(arrays, kind) for kind in (self.precision.features, torch.float64))
        self.embedding = weights["sphere_embedding.weight"]
        self.state = StateEmbedding(weights, exact, spec) if spec.global_inputs else None
        self.couplings, self.places = couplings(spec.max_degree), _places(spec)
        self.gaussians = torch.linspace(0.0, spec.cutoff, spec.n_gaussians, dtype=torch.float64)
        self.radial = RadialNetwork(weights, spec, "edge_degree_embedding.rad_func")
        names = [f"blocks.{block}" for block in range(spec.n_blocks)]
        self.norms = [Norm(weights, spec, f"{name}.norm_1") for name in names]
        self.messages = [Messages(weights, spec, f"{name}.edge_wise") for name in names]
        self.inner_norms = [Norm(weights, spec, f"{name}.norm_2") for name in names]
        network = AtomNetwork if spec.grid is None else GridNetwork
        self.atom_networks = [network(weights, spec, f"{name}.atom_wise") for name in names]
        self.last_norm = Norm(weights, spec, "norm")
        self.energies = EnergyNetwork(weights, trained.selected)
        self.references = exact["references"][spec.dataset][rows].contiguous()

    def layer(self, t: int, graph: EdgeGraph, features: Tensor | None, skips: Tensor | None) -> tuple[Named, Tensor]:
        spec, n_local = self.spec, graph.n_local
        if skips is None:
            nodes, state = self._first(graph)
        else:
            n_features = spec.n_coefficients * spec.sphere_width
            nodes = skips[:, :n_features].view(n_local, spec.n_coefficients, spec.sphere_width)
            state = skips[:, n_features:] if self.state is not None else None
            nodes = self._block(t - 2, graph, features, nodes, state)
        if t == self.n_layers:
            energies = self.energies(self.last_norm(nodes)[:, 0])[:, 0].to(torch.float64)
            return {}, energies * self.energies.scale + self.references.index_select(0, graph.centre_species)
        sent = _with_state(self.norms[t - 1](nodes), state).reshape(n_local, -1)
        kept = [nodes.reshape(n_local, -1)] if state is None else [nodes.reshape(n_local, -1), state]
        handed = {f"features_{t}": sent, f"skips_{t}": torch.cat(kept, dim=1)}
        return handed, nodes.new_zeros(n_local, dtype=torch.float64)

    def _first(self, graph: EdgeGraph) -> tuple[Tensor, Tensor | None]:
        """Return the features of the centres before the first block, and their vector of charge and spin."""
        spec, dtype, n_local = self.spec, self.precision.features, graph.n_local
        scalars = self.embedding.index_select(0, graph.centre_species)
        state = None
        if self.state is not None:
            state = self.state(graph.global_inputs).expand(n_local, spec.sphere_width)
            scalars = scalars + state
        units, gaussians, envelope = self._geometry(graph)
        radial = self.radial(graph, gaussians.to(dtype)).view(-1, spec.max_degree + 1, spec.sphere_width)
        harmonics = spherical_harmonics(units, spec.max_degree)
        sums = []
        for degree in range(spec.max_degree + 1):
            along = harmonics[:, degree**2 : (degree + 1) ** 2] * envelope
            along = (along / (_DEGREE_SCALE * (2 * degree + 1) ** 0.5)).to(dtype)
            sums.append(along[:, :, None] * radial[:, degree, None, :])
        nodes = sum_rows(torch.cat(sums, dim=1), graph.edge_centre, n_local)
        return torch.cat([nodes[:, :1] + scalars[:, None], nodes[:, 1:]], dim=1), state

    def _block(self, block: int, graph: EdgeGraph, features: Tensor, nodes: Tensor, state: Tensor | None) -> Tensor:
        """Return the features of the centres after a block."""
        spec, dtype = self.spec, self.precision.features
        own = _with_state(self.norms[block](nodes), state).reshape(graph.n_local, -1)
        units, gaussians, envelope = self._geometry(graph)
        rotations = self._rotations(units)
        shape = (-1, spec.n_coefficients, spec.sphere_width)
        pairs = [select_rows(features, graph.edge_neighbour), select_rows(own, graph.edge_centre)]
        pairs = torch.cat([one.view(shape) for one in pairs], dim=2)
        messages = self.messages[block](graph, torch.bmm(rotations.to(dtype), pairs), gaussians.to(dtype))
        back = (rotations * envelope[:, :, None]).to(dtype).transpose(1, 2)
        nodes = nodes + sum_rows(torch.bmm(back, messages), graph.edge_centre, graph.n_local)
        return nodes + self.atom_networks[block](self.inner_norms[block](nodes))

    def _geometry(self, graph: EdgeGraph) -> tuple[Tensor, Tensor, Tensor]:
        """Return unit vectors, Gaussians and envelope, shape (n_edges, 1), of the edges."""
        distances = graph.edge_vectors.square().sum(dim=1).sqrt()[:, None]
        width = 2.0 * self.spec.cutoff / (self.spec.n_gaussians - 1)
        gaussians = torch.exp(-0.5 * ((distances - self.gaussians) / width) ** 2)
        x = distances / self.spec.cutoff
        envelope = torch.where(x < 1.0, 1.0 + x**5 * (-21.0 + x * (35.0 - 15.0 * x)), 0.0)
        return graph.edge_vectors / distances, gaussians, envelope

    def _rotations(self, units: Tensor) -> Tensor:
        """Return the rows of the orders of messages, shape (n_edges, n_rows, n_coefficients)."""
        blocks = [one.flatten(1) for one in rotation_matrices(units, self.couplings)]
        blocks = [torch.ones_like(units[:, :1]), *blocks]
        whole = torch.cat(blocks, dim=1) @ self.places
        return whole.view(units.shape[0], -1, self.spec.n_coefficients)


def _places(spec: EsenSpec) -> Tensor:
    """Return the map from the entries of the matrices of all degrees to the rows of the orders of messages.

    A product with it compiles to one call, and gathering rows to a long program.
    """
    rows = [row for order in spec.order_rows() for row in order]
    n_entries = sum((2 * degree + 1) ** 2 for degree in range(spec.max_degree + 1))
    places = torch.zeros(n_entries, len(rows) * spec.n_coefficients, dtype=torch.float64)
    for place, row in enumerate(rows):
        degree = int(row**0.5)
        n_columns = 2 * degree + 1
        first = sum((2 * lower + 1) ** 2 for lower in range(degree)) + (row - degree**2) * n_columns
        for column in range(n_columns):
            places[first + column, place * spec.n_coefficients + degree**2 + column] = 1.0
    return places


def _with_state(nodes: Tensor, state: Tensor | None) -> Tensor:
    if state is None:
        return nodes
    return torch.cat([nodes[:, :1] + state[:, None], nodes[:, 1:]], dim=1)
