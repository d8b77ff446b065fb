"""Reference implementation of eSEN: one block after the other, for all atoms and edges."""

import math

import torch
from torch import Tensor

from mlip_lammps.families.esen.grids import grid_matrices
from mlip_lammps.families.esen.rotations import couplings, rotation_matrices
from mlip_lammps.families.esen.spec import EsenModel
from mlip_lammps.families.reference import ReferenceModel

_EPSILON = 1e-5
"""Added to variances by all norms."""
_DEGREE_SCALE = 5.0
"""The first sum over neighbours is divided by this number."""


class EsenReference(ReferenceModel):
    """A model with one dataset in float64.

    Notes
    -----
    Nodes have features of degrees 0 to l_max. A message turns the features of both atoms into the frame of their edge
    and keeps orders up to m_max, where a map that commutes with turns about the edge mixes degrees of one order only
    (Fu et al., arXiv:2502.12147; Passaro and Zitnick, arXiv:2302.03655). An envelope ends messages at the cutoff.
    """

    def __init__(self, trained: EsenModel):
        spec = trained.spec
        super().__init__(spec.atomic_numbers, spec.cutoff, global_inputs=spec.global_inputs)
        self.spec, self.dataset = spec, trained.selected
        self.weights = {name: torch.from_numpy(array).to(torch.float64) for name, array in trained.weights.items()}
        self.couplings = couplings(spec.max_degree)
        self.rows = [torch.tensor(rows) for rows in spec.order_rows()]
        degrees = [degree for degree in range(spec.max_degree + 1) for _ in range(2 * degree + 1)]
        self.degrees = torch.tensor(degrees)

    def node_energies(
        self, species: Tensor, edge_vectors: Tensor, edge_centre: Tensor, edge_neighbour: Tensor
    ) -> Tensor:
        spec, weights = self.spec, self.weights
        distances = torch.linalg.norm(edge_vectors, dim=1)
        rotations = self._rotations(edge_vectors / distances[:, None])
        envelope = _envelope(distances / spec.cutoff)[:, None, None]
        edges = torch.cat(
            [
                self._gaussians(distances),
                weights["source_embedding.weight"][species[edge_neighbour]],
                weights["target_embedding.weight"][species[edge_centre]],
            ],
            dim=1,
        )
        state = self._state()
        nodes = edge_vectors.new_zeros(len(species), spec.n_coefficients, spec.sphere_width)
        nodes[:, 0] = weights["sphere_embedding.weight"][species] + state
        n_degrees = spec.max_degree + 1
        radial = self._radial("edge_degree_embedding.rad_func", edges).view(-1, n_degrees, spec.sphere_width)
        along = rotations[:, self.rows[0]].mT  # harmonics of the direction of the edge
        nodes = nodes.index_add(0, edge_centre, along @ radial * envelope / _DEGREE_SCALE)
        for block in range(spec.n_blocks):
            name = f"blocks.{block}"
            sent = self._norm(f"{name}.norm_1", nodes)
            sent = torch.cat([sent[:, :1] + state, sent[:, 1:]], dim=1)
            pairs = torch.cat([sent[edge_neighbour], sent[edge_centre]], dim=2)
            messages = self._messages(f"{name}.edge_wise", [rotations[:, rows] @ pairs for rows in self.rows], edges)
            back = sum(rotations[:, rows].mT @ one for rows, one in zip(self.rows, messages, strict=True))
            nodes = nodes.index_add(0, edge_centre, back * envelope)
            nodes = nodes + self._atom_network(f"{name}.atom_wise", self._norm(f"{name}.norm_2", nodes))
        scalars = self._norm("norm", nodes)[:, 0]
        for k in range(3):
            row = self.dataset.expert
            weight, bias = weights[f"energy_block.{2 * k}.weight"][row], weights[f"energy_block.{2 * k}.bias"]
            scalars = torch.nn.functional.linear(scalars if k == 0 else _silu(scalars), weight, bias)
        return scalars[:, 0] * self.dataset.scale + weights["references"][spec.dataset][species]

    def _rotations(self, units: Tensor) -> Tensor:
        """Return the matrices of all degrees as one, shape (n_edges, n_coefficients, n_coefficients)."""
        blocks = rotation_matrices(units, self.couplings)
        whole = units.new_zeros(len(units), self.spec.n_coefficients, self.spec.n_coefficients)
        whole[:, 0, 0] = 1.0
        for degree, block in enumerate(blocks, start=1):
            part = slice(degree**2, (degree + 1) ** 2)
            whole[:, part, part] = block
        return whole

    def _gaussians(self, distances: Tensor) -> Tensor:
        spec = self.spec
        centres = torch.linspace(0.0, spec.cutoff, spec.n_gaussians, dtype=distances.dtype)
        width = 2.0 * spec.cutoff / (spec.n_gaussians - 1)
        return torch.exp(-0.5 * ((distances[:, None] - centres) / width) ** 2)

    def _state(self) -> Tensor:
        """Return the vector of charge, spin and dataset that all scalars of a block have in addition."""
        spec, weights = self.spec, self.weights
        if not spec.state_embedding:
            return torch.zeros(spec.sphere_width, dtype=self.dtype)
        parts = []
        for one, value in zip(spec.global_inputs, self.global_values, strict=True):
            if spec.state_embedding == "rand_emb":
                parts.append(weights[f"{one.name}_embedding.rand_emb.weight"][int(value - one.lowest)])
                continue
            phases = 2.0 * math.pi * value * weights[f"{one.name}_embedding.W"]
            is_known = one.name == "charge" or value != 0
            parts.append(torch.cat([torch.sin(phases), torch.cos(phases)]) * float(is_known))
        if spec.has_dataset_embedding:
            parts.append(weights["dataset_embedding"][spec.dataset])
        return _silu(self._linear("mix_csd", torch.cat(parts)))

    def _messages(self, name: str, inputs: list[Tensor], edges: Tensor) -> list[Tensor]:
        """Return the messages of each order in the frames of the edges, shape (n_edges, n_rows, sphere_width)."""
        spec, n_edges = self.spec, len(edges)
        radial = self._radial(f"{name}.so2_conv_1.rad_func", edges)
        sizes = [(spec.max_degree + 1 - m) * 2 * spec.sphere_width for m in range(spec.max_order + 1)]
        signs = [1 if m == 0 else 2 for m in range(spec.max_order + 1)]
        inputs = [
            one.reshape(n_edges, n_signs, size) * factor[:, None]
            for one, n_signs, size, factor in zip(inputs, signs, sizes, radial.split(sizes, dim=1), strict=True)
        ]
        n_gates = spec.max_degree * spec.hidden_width
        gates, hidden = self._convolution(f"{name}.so2_conv_1", inputs, spec.hidden_width, n_gates)
        gates = torch.sigmoid(gates).view(n_edges, spec.max_degree, spec.hidden_width)
        first = torch.cat([_silu(hidden[0][:, :1]), hidden[0][:, 1:] * gates], dim=1)
        others = [one * torch.cat([gates[:, m:], gates[:, m:]], dim=1) for m, one in enumerate(hidden[1:])]
        hidden = [
            one.flatten(1).unflatten(1, (n_signs, -1)) for one, n_signs in zip([first, *others], signs, strict=True)
        ]
        return self._convolution(f"{name}.so2_conv_2", hidden, spec.sphere_width, 0)[1]

    def _convolution(self, name: str, inputs: list[Tensor], width: int, n_gates: int) -> tuple[Tensor, list[Tensor]]:
        """Return gates and, for each order, the outputs of +m and then of -m, shape (n_edges, n_rows, width).

        The map of an order m > 0 is one of complex numbers, whose real and imaginary parts are +m and -m.
        """
        n_scalars = (self.spec.max_degree + 1) * width
        gates, first = self._linear(f"{name}.fc_m0", inputs[0][:, 0]).split([n_gates, n_scalars], dim=1)
        outputs = [first.unflatten(1, (-1, width))]
        for m, one in enumerate(inputs[1:]):
            real, imaginary = self._linear(f"{name}.so2_m_conv.{m}.fc", one).chunk(2, dim=2)
            parts = real[:, 0] - imaginary[:, 1], real[:, 1] + imaginary[:, 0]
            outputs.append(torch.cat([part.unflatten(1, (-1, width)) for part in parts], dim=1))
        return gates, outputs

    def _atom_network(self, name: str, nodes: Tensor) -> Tensor:
        spec = self.spec
        if spec.grid is not None:
            to_grid, from_grid = grid_matrices(spec.max_degree, spec.grid)
            values = torch.einsum("gi,nic->ngc", to_grid, nodes)
            for k in range(3):
                values = self._linear(f"{name}.grid_mlp.{2 * k}", values if k == 0 else _silu(values))
            return torch.einsum("gi,ngc->nic", from_grid, values)
        gates = torch.sigmoid(_silu(self._linear(f"{name}.scalar_mlp.0", nodes[:, 0])))
        gates = gates.view(-1, spec.max_degree, spec.hidden_width)[:, self.degrees[1:] - 1]
        hidden = self._by_degree(f"{name}.so3_linear_1", nodes)
        return self._by_degree(f"{name}.so3_linear_2", torch.cat([_silu(hidden[:, :1]), hidden[:, 1:] * gates], dim=1))

    def _by_degree(self, name: str, nodes: Tensor) -> Tensor:
        """Return a linear map of the channels of each degree."""
        mapped = torch.einsum("nic,ioc->nio", nodes, self.weights[f"{name}.weight"][self.degrees])
        return torch.cat([mapped[:, :1] + self.weights[f"{name}.bias"], mapped[:, 1:]], dim=1)

    def _norm(self, name: str, nodes: Tensor) -> Tensor:
        """Return features with a mean of scalars of 0 and a mean square of 1, in which all degrees have one weight."""
        scalars = nodes[:, :1] - nodes[:, :1].mean(dim=2, keepdim=True)
        nodes = torch.cat([scalars, nodes[:, 1:]], dim=1)
        shares = 1.0 / ((2 * self.degrees + 1) * (self.spec.max_degree + 1)).to(nodes.dtype)
        square = (nodes.square() * shares[:, None]).sum(dim=1, keepdim=True).mean(dim=2, keepdim=True)
        nodes = nodes / torch.sqrt(square + _EPSILON) * self.weights[f"{name}.affine_weight"][self.degrees]
        return torch.cat([nodes[:, :1] + self.weights[f"{name}.affine_bias"], nodes[:, 1:]], dim=1)

    def _radial(self, name: str, edges: Tensor) -> Tensor:
        """Return the network of the features of edges."""
        for k in (0, 3):
            edges = self._linear(f"{name}.net.{k}", edges)
            weight, bias = self.weights[f"{name}.net.{k + 1}.weight"], self.weights[f"{name}.net.{k + 1}.bias"]
            edges = _silu(torch.nn.functional.layer_norm(edges, edges.shape[1:], weight, bias, _EPSILON))
        return self._linear(f"{name}.net.6", edges)

    def _linear(self, name: str, values: Tensor) -> Tensor:
        return torch.nn.functional.linear(values, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"))


def _envelope(x: Tensor) -> Tensor:
    """Return the polynomial that falls from 1 at x = 0 to 0 at x = 1, where its first two derivatives vanish."""
    return torch.where(x < 1.0, 1.0 + x**5 * (-21.0 + x * (35.0 - 15.0 * x)), 0.0)


_silu = torch.nn.functional.silu
