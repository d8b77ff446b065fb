"""Networks of eSEN with their weights in the order in which matrix products take them."""

import math

import torch
from torch import Tensor

from mlip_lammps.families.chain import EdgeGraph
from mlip_lammps.families.esen.grids import grid_matrices
from mlip_lammps.families.esen.spec import Dataset, EsenSpec
from mlip_lammps.families.state_weights import Weights

_EPSILON = 1e-5
"""Added to variances by all norms."""
_silu = torch.nn.functional.silu


class Norm:
    """Norm of the features of nodes, in which all degrees have the same weight."""

    def __init__(self, weights: Weights, spec: EsenSpec, name: str):
        degrees = _degrees(spec)
        self.scale = weights[f"{name}.affine_weight"][degrees].contiguous()
        self.shift = weights[f"{name}.affine_bias"]
        shares = 1.0 / ((2 * degrees + 1) * (spec.max_degree + 1) * spec.sphere_width).to(torch.float64)
        self.shares = shares.to(self.scale.dtype)[:, None]

    def __call__(self, nodes: Tensor) -> Tensor:
        scalars = nodes[:, :1] - nodes[:, :1].mean(dim=2, keepdim=True)
        nodes = torch.cat([scalars, nodes[:, 1:]], dim=1)
        square = (nodes.square() * self.shares).sum(dim=(1, 2), keepdim=True)
        nodes = nodes * torch.rsqrt(square + _EPSILON) * self.scale
        return torch.cat([nodes[:, :1] + self.shift, nodes[:, 1:]], dim=1)


class StateEmbedding:
    """Vector of charge, spin and dataset."""

    def __init__(self, weights: Weights, exact: Weights, spec: EsenSpec):
        self.spec = spec
        n_states = 2 * spec.sphere_width
        weight, bias = weights.linear("mix_csd")
        self.weight = weight[:n_states].contiguous()
        self.bias = bias
        if spec.has_dataset_embedding:
            self.bias = bias + weights["dataset_embedding"][spec.dataset] @ weight[n_states:]
        # phases of large charges are far beyond one turn
        suffix, kind = ("rand_emb.weight", weights) if spec.state_embedding == "rand_emb" else ("W", exact)
        self.tables = [kind[f"{one.name}_embedding.{suffix}"] for one in spec.global_inputs]

    def __call__(self, global_inputs: Tensor) -> Tensor:
        """Return the vector, shape (1, sphere_width)."""
        parts = []
        for k, (one, table) in enumerate(zip(self.spec.global_inputs, self.tables, strict=True)):
            value = global_inputs[k : k + 1]
            if self.spec.state_embedding == "rand_emb":
                parts.append(table.index_select(0, (value - one.lowest).round().to(torch.int64)))
                continue
            phases = 2.0 * math.pi * value * table
            part = torch.cat([torch.sin(phases), torch.cos(phases)])
            if one.name == "spin":  # 0 stands for a spin that is not known
                part = part * (value != 0).to(part.dtype)
            parts.append(part[None].to(self.weight.dtype))
        return _silu(torch.cat(parts, dim=1) @ self.weight + self.bias)


class RadialNetwork:
    """Network of the Gaussians of a distance and of the elements of both atoms."""

    def __init__(self, weights: Weights, spec: EsenSpec, name: str):
        first, bias = weights.linear(f"{name}.net.0")
        gaussians, source, target = first.split([spec.n_gaussians, spec.edge_width, spec.edge_width])
        self.first = gaussians.contiguous()
        self.source = weights["source_embedding.weight"] @ source
        self.target = weights["target_embedding.weight"] @ target + bias
        self.norms = [(weights[f"{name}.net.{k}.weight"], weights[f"{name}.net.{k}.bias"]) for k in (1, 4)]
        self.second, self.last = (weights.linear(f"{name}.net.{k}") for k in (3, 6))

    def __call__(self, graph: EdgeGraph, gaussians: Tensor) -> Tensor:
        values = gaussians @ self.first + self.source.index_select(0, graph.neighbour_species())
        values = values + self.target.index_select(0, graph.centre_species).index_select(0, graph.edge_centre)
        for norm, (weight, bias) in zip(self.norms, (self.second, self.last), strict=True):
            values = _silu(torch.nn.functional.layer_norm(values, values.shape[1:], *norm, _EPSILON))
            values = torch.addmm(bias, values, weight)
        return values


class Messages:
    """Messages in the frames of edges: two maps that commute with turns about the edge, and gates between them."""

    def __init__(self, weights: Weights, spec: EsenSpec, name: str):
        self.spec = spec
        self.radial = RadialNetwork(weights, spec, f"{name}.so2_conv_1.rad_func")
        self.first, self.second = (
            [weights.linear(f"{name}.so2_conv_{number}.fc_m0")]
            + [_complex(weights, f"{name}.so2_conv_{number}.so2_m_conv.{m}.fc") for m in range(spec.max_order)]
            for number in (1, 2)
        )

    def __call__(self, graph: EdgeGraph, pairs: Tensor, gaussians: Tensor) -> Tensor:
        """Return messages, shape (n_edges, n_rows, sphere_width).

        Parameters
        ----------
        pairs
            Features of both atoms of each edge in its frame, shape (n_edges, n_rows, 2 * sphere_width).
        """
        spec, n_degrees = self.spec, self.spec.max_degree + 1
        radial = self.radial(graph, gaussians)
        inputs = _orders(pairs, spec)
        factors = radial.split([(n_degrees - m) * 2 * spec.sphere_width for m in range(spec.max_order + 1)], dim=1)
        hidden = []
        for m, (one, factor, (weight, bias)) in enumerate(zip(inputs, factors, self.first, strict=True)):
            n_rows = one.shape[1]
            scaled = one.reshape(-1, 1 if m == 0 else 2, (n_degrees - m) * 2 * spec.sphere_width) * factor[:, None]
            scaled = scaled.flatten(1)
            mapped = scaled @ weight if bias is None else torch.addmm(bias, scaled, weight)
            if m == 0:
                gates, mapped = mapped.split([spec.max_degree * spec.hidden_width, n_rows * spec.hidden_width], dim=1)
                gates = torch.sigmoid(gates).view(-1, spec.max_degree, spec.hidden_width)
            hidden.append(mapped.view(-1, n_rows, spec.hidden_width))
        hidden[0] = torch.cat([_silu(hidden[0][:, :1]), hidden[0][:, 1:] * gates], dim=1)
        for m in range(1, spec.max_order + 1):
            hidden[m] = hidden[m] * torch.cat([gates[:, m - 1 :]] * 2, dim=1)
        outputs = []
        for one, (weight, bias) in zip(hidden, self.second, strict=True):
            flat = one.flatten(1)
            mapped = flat @ weight if bias is None else torch.addmm(bias, flat, weight)
            outputs.append(mapped.view(-1, one.shape[1], spec.sphere_width))
        return torch.cat(outputs, dim=1)


def _orders(pairs: Tensor, spec: EsenSpec) -> tuple[Tensor, ...]:
    return pairs.split([len(rows) for rows in spec.order_rows()], dim=1)


def _complex(weights: Weights, name: str) -> tuple[Tensor, None]:
    """Return a map of complex numbers as a real one of their real and then their imaginary parts."""
    weight, _ = weights.linear(name)
    real, imaginary = weight.chunk(2, dim=1)
    rows = [torch.cat([real, imaginary], dim=1), torch.cat([-imaginary, real], dim=1)]
    return torch.cat(rows).contiguous(), None


class AtomNetwork:
    """Network of the coefficients of an atom with gates by degree."""

    def __init__(self, weights: Weights, spec: EsenSpec, name: str):
        self.spec, self.degrees = spec, _degrees(spec)[1:] - 1
        self.gates = weights.linear(f"{name}.scalar_mlp.0")
        self.first, self.second = (
            (
                weights[f"{name}.so3_linear_{number}.weight"].transpose(1, 2).contiguous(),
                weights[f"{name}.so3_linear_{number}.bias"],
            )
            for number in (1, 2)
        )

    def __call__(self, nodes: Tensor) -> Tensor:
        spec = self.spec
        gates = torch.sigmoid(_silu(nodes[:, 0] @ self.gates[0] + self.gates[1]))
        gates = gates.view(-1, spec.max_degree, spec.hidden_width)
        first = self._by_degree(nodes, *self.first)
        hidden = [_silu(first[0])]
        hidden += [one * gates[:, degree, None] for degree, one in enumerate(first[1:])]
        return torch.cat(self._by_degree(torch.cat(hidden, dim=1), *self.second), dim=1)

    def _by_degree(self, nodes: Tensor, weight: Tensor, bias: Tensor) -> list[Tensor]:
        mapped = []
        for degree in range(self.spec.max_degree + 1):
            rows = nodes[:, degree**2 : (degree + 1) ** 2]
            one = rows.reshape(-1, rows.shape[2]) @ weight[degree]
            mapped.append((one + bias if degree == 0 else one).view(-1, 2 * degree + 1, weight.shape[2]))
        return mapped


class GridNetwork:
    """Network of the values of an atom's features on a grid of directions."""

    def __init__(self, weights: Weights, spec: EsenSpec, name: str):
        self.maps = [weights.linear(f"{name}.grid_mlp.{2 * k}")[0] for k in range(3)]
        to_grid, from_grid = grid_matrices(spec.max_degree, spec.grid)
        self.to_grid = to_grid.to(self.maps[0].dtype)
        self.from_grid = from_grid.T.contiguous().to(self.maps[0].dtype)

    def __call__(self, nodes: Tensor) -> Tensor:
        values = torch.matmul(self.to_grid, nodes)
        shape = values.shape
        values = values.reshape(-1, shape[2]) @ self.maps[0]
        for weight in self.maps[1:]:
            values = _silu(values) @ weight
        return torch.matmul(self.from_grid, values.view(shape))


class EnergyNetwork:
    """Network of the scalars of an atom."""

    def __init__(self, weights: Weights, dataset: Dataset):
        self.scale = dataset.scale
        self.maps = [
            (weights[f"{name}.weight"][dataset.expert].T.contiguous(), weights[f"{name}.bias"])
            for name in ("energy_block.0", "energy_block.2", "energy_block.4")
        ]

    def __call__(self, scalars: Tensor) -> Tensor:
        for k, (weight, bias) in enumerate(self.maps):
            scalars = (scalars if k == 0 else _silu(scalars)) @ weight + bias
        return scalars


def _degrees(spec: EsenSpec) -> Tensor:
    return torch.tensor([degree for degree in range(spec.max_degree + 1) for _ in range(2 * degree + 1)])
