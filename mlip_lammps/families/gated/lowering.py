"""Conversion of a trained model to constants of its layers; e3nn's normalisations are folded in.

Layouts, from the outermost index: features after a gate are (irrep, m, copy, channel), those that neighbours receive
and messages are (irrep, copy, m, channel). A copy has as many channels as divide all multiplicities.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from ase.data import chemical_symbols
from torch import Tensor

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.families.gated.activations import activation_scale
from mlip_lammps.families.gated.couplings import coupling
from mlip_lammps.families.gated.repulsion import repulsion_tables
from mlip_lammps.families.gated.spec import GatedLayerSpec, GatedModel, GateSpec, LinearSpec, gate_places
from mlip_lammps.families.irreps import (
    Entry,
    linear_fan_in,
    linear_matrices,
    linear_pairs,
    parse_irreps,
    simplify_irreps,
)
from mlip_lammps.kernels.lowered import ConvolutionPath, LinearBlock, LoweredLayer, LoweredModel, RepulsionTables
from mlip_lammps.kernels.radial_constants import DistanceTransform, RadialBasis, RadialNetwork

Irreps = tuple[Entry, ...]
Matrices = dict[tuple[int, int], np.ndarray]


@dataclass(frozen=True)
class GatePart:
    """Activated scalars, or irreps times activated scalars.

    Attributes
    ----------
    scalar_start, n_copies
        First component of the scalars in the message, and their number of copies.
    activation, scale
        Name of the activation and factor behind it.
    start, dim
        First component of the irreps that the scalars multiply, and 2 l + 1; None and 0 for scalars alone.
    """

    scalar_start: int
    n_copies: int
    activation: str
    scale: float
    start: int | None = None
    dim: int = 0


@dataclass(frozen=True)
class GatedUpdate:
    """Constants of a layer besides those of its convolution; tensors in float64.

    Attributes
    ----------
    parts
        The gate, in the order of its results.
    message_bias
        Added to the message, shape (message width,); None if there is nothing to add.
    up_bias
        Added to what neighbours receive, shape (width,); None likewise.
    """

    parts: tuple[GatePart, ...]
    message_bias: Tensor | None
    up_bias: Tensor | None


@dataclass(frozen=True)
class LoweredGatedModel:
    """Constants of a whole model for a subset of its elements.

    Attributes
    ----------
    convolutions
        What the kernels compute.
    updates
        What follows in each layer.
    embedding
        Features of each element before the first layer, shape (n_elements, width).
    readout, constants
        Energies of the last features: a vector, shape (width,), and a constant of each element in eV, shape
        (n_elements,). With ``hidden`` the vector follows the last activation.
    hidden, readout_activation
        Matrices before the vector, each with the activation after it; none for a linear readout.
    scale
        Factor of the readout by element in eV, shape (n_elements,).
    """

    convolutions: LoweredModel
    updates: tuple[GatedUpdate, ...]
    embedding: Tensor
    readout: Tensor
    constants: Tensor
    scale: Tensor
    hidden: tuple[Tensor, ...] = ()
    readout_activation: str | None = None


def lower(trained: GatedModel, atomic_numbers: tuple[int, ...]) -> LoweredGatedModel:
    """Fold the weights of a model with one modal into the constants of its layers.

    Raises
    ------
    UserInputError
        If the model does not know one of the elements.
    """
    return _Lowering(trained, atomic_numbers).lowered()


class _Lowering:
    """Lowering of one model."""

    def __init__(self, trained: GatedModel, atomic_numbers: tuple[int, ...]):
        self.trained, self.spec, self.numbers = trained, trained.spec, atomic_numbers
        missing = [z for z in atomic_numbers if z not in trained.atomic_numbers]
        if missing:
            known = ", ".join(chemical_symbols[z] for z in trained.atomic_numbers)
            raise UserInputError(f"the model does not know {chemical_symbols[missing[0]]}; choose among {known}")
        self.rows = [trained.atomic_numbers.index(z) for z in atomic_numbers]

    @cached_property
    def n_channels(self) -> int:
        """Channels of a copy: the greatest common divisor of all multiplicities after the first linear map."""
        texts = [layer.gate.irreps_in for layer in self.spec.layers] + [one.irreps_out for one in self.spec.layers]
        entries = [entry for text in texts for entry in parse_irreps(text)]
        entries += [parse_irreps(text)[0] for layer in self.spec.layers for text, _ in layer.gate.scalars]
        return math.gcd(*(entry.mul for entry in entries))

    def lowered(self) -> LoweredGatedModel:
        spec, table = self.spec, self.trained.weights
        embedding = self._embedding()
        radial = RadialBasis(
            parameters=torch.from_numpy(table["wave_numbers"].astype(np.float64)),
            factor=torch.tensor(2.0 / spec.cutoff, dtype=torch.float64),
            cutoff_power=int(spec.radial.cutoff_parameter) if spec.radial.cutoff_kind == "polynomial" else 0,
            is_cutoff_on_basis=True,
            cutoff_start=spec.radial.cutoff_parameter if spec.radial.cutoff_kind == "xplor" else None,
            transform=self._transform(),
        )
        hidden, readout, constant = self._readout()
        shift, scale = (torch.from_numpy(self._by_element(name)) for name in ("shift", "scale"))
        convolutions = LoweredModel(
            atomic_numbers=self.numbers,
            cutoff=spec.cutoff,
            l_max=spec.l_max,
            radial=radial,
            layers=tuple(self._layer(t, layer, embedding) for t, layer in enumerate(spec.layers)),
            node_constants=shift,
            energy_scale=1.0,
            repulsion=self._repulsion(),
        )
        updates = tuple(
            GatedUpdate(self._gate(one.gate), self._bias(one.message), self._bias(one.up)) for one in spec.layers
        )
        constants = shift + scale * constant
        return LoweredGatedModel(
            convolutions, updates, embedding, readout, constants, scale, hidden, spec.readout_activation
        )

    def _reaches(self) -> Tensor:
        """Return the cutoffs of pairs of the elements in angstrom, shape (n_elements, n_elements)."""
        if not self.spec.has_pair_cutoffs:
            return torch.full((len(self.rows), len(self.rows)), self.spec.cutoff, dtype=torch.float64)
        return torch.from_numpy(self._array("pair_cutoffs")[np.ix_(self.rows, self.rows)])

    def _transform(self) -> DistanceTransform | None:
        if not self.spec.has_pair_cutoffs:
            return None
        return DistanceTransform("Scaled", (self.spec.cutoff,), self._reaches().flatten())

    def _repulsion(self) -> RepulsionTables | None:
        if self.spec.repulsion is None:
            return None
        return repulsion_tables(self.spec.repulsion, self.rows, self.spec.cutoff, self._reaches())

    def _by_element(self, name: str) -> np.ndarray:
        values = self.trained.weights[name].astype(np.float64)
        return (values[self.spec.modal] if values.ndim == 2 else values)[self.rows]

    def _embedding(self) -> Tensor:
        one = self.spec.embedding
        matrices, bias = self._linear(one)
        rows = np.concatenate([matrices[0, k] for k in range(len(parse_irreps(one.irreps_out)))], axis=1)
        return torch.from_numpy(rows[self.rows] + np.concatenate(bias))

    def _readout(self) -> tuple[tuple[Tensor, ...], Tensor, float]:
        """Return the hidden matrices, the vector that gives the energy before scale and shift, and a constant."""
        if self.spec.readout_activation is not None:
            matrices = [torch.from_numpy(self._linear(one)[0][0, 0]) for one in self.spec.readout]
            return tuple(matrices[:-1]), matrices[-1][:, 0].contiguous(), 0.0
        last = parse_irreps(self.spec.layers[-1].irreps_out)
        matrix, constant = None, np.zeros(1)
        for one in self.spec.readout:
            matrices, bias = self._linear(one)
            before = last if matrix is None else parse_irreps(one.irreps_in)
            blocks = [matrices.get((i, 0), np.zeros((entry.mul * entry.dim, 1))) for i, entry in enumerate(before)]
            width = max(block.shape[1] for block in blocks)
            step = np.concatenate([np.broadcast_to(block, (len(block), width)) for block in blocks])
            constant = (constant @ step if matrix is not None else 0.0) + bias[0]
            matrix = step if matrix is None else matrix @ step
        return (), torch.from_numpy(np.ascontiguousarray(matrix[:, 0])), float(constant[0])

    def _linear(self, one: LinearSpec) -> tuple[Matrices, list[np.ndarray]]:
        """Return the normalised matrices of a map by entries, and what it adds to each entry of its result."""
        irreps_in, irreps_out = parse_irreps(one.full_irreps_in), parse_irreps(one.irreps_out)
        matrices = linear_matrices(self._array(f"{one.name}.weight"), irreps_in, irreps_out)
        added = [np.zeros(entry.mul * entry.dim) for entry in irreps_out]
        if one.n_modals:
            chosen = len(irreps_in) - 1
            for k in range(len(irreps_out)):
                if (chosen, k) in matrices:
                    added[k] = added[k] + matrices.pop((chosen, k))[self.spec.modal]
        if one.has_bias:
            biases = self._array(f"{one.name}.bias")
            for k, entry in enumerate(irreps_out):
                if entry.kind == (0, 1):
                    added[k], biases = added[k] + biases[: entry.mul], biases[entry.mul :]
        return matrices, added

    def _bias(self, one: LinearSpec) -> Tensor | None:
        bias = np.concatenate(self._linear(one)[1])
        return torch.from_numpy(bias) if bias.any() else None

    def _array(self, name: str) -> np.ndarray:
        return self.trained.weights[name].astype(np.float64)

    def _layer(self, t: int, layer: GatedLayerSpec, embedding: Tensor) -> LoweredLayer:
        before, gate_in = parse_irreps(layer.irreps_in), parse_irreps(layer.gate.irreps_in)
        n_edge = math.gcd(*(entry.mul for entry in before))
        n_in = n_edge if t == 0 else self.n_channels
        n_mid, paths, groups = self._paths(layer, n_edge)
        first = None
        if t == 0:
            # the map ``up`` of the first layer is folded into what each element sends
            matrices, added = self._linear(layer.up)
            sources = embedding @ torch.from_numpy(matrices[0, 0]) + torch.from_numpy(np.concatenate(added))
            if (divisors := self._divisors(t)) is not None:
                sources = sources / torch.from_numpy(divisors)[:, None]
            first = sources.view(len(self.rows), -1, n_edge)
            unit = torch.eye(n_edge, dtype=torch.float64)
            up = tuple(LinearBlock(copy, 1, copy, 1, unit) for copy in range(first.shape[1]))
        else:
            matrices = self._linear(layer.up)[0]
            if (divisors := self._divisors(t)) is not None:
                matrices = {pair: matrix / divisors[:, None, None] for pair, matrix in matrices.items()}
            up = self._blocks(matrices, before, before, n_in, n_edge)
        message = self._message(layer, groups, gate_in)
        return LoweredLayer(
            n_channels=self.n_channels,
            n_edge_channels=n_edge,
            embedding=first,
            n_components_in=_n_components(before, n_in),
            n_components_edge=_n_components(before, n_edge),
            n_components_mid=n_mid,
            n_components_message=_n_components(gate_in, self.n_channels),
            n_components_out=_n_components(parse_irreps(layer.irreps_out), self.n_channels),
            up=up,
            paths=paths,
            radial=self._network(t, layer),
            message=message,
            polynomial=(),
            mix=(),
            skip=self._skip(t, layer, before, gate_in, n_in),
            readout_scalars=(),
            readout_matrices=(),
            readout_activation_scale=1.0,
        )

    def _divisors(self, t: int) -> np.ndarray | None:
        """Return what divides the features that each element sends; None if a number divides the sum."""
        divisors = self._array(f"layers.{t}.denominator")
        return divisors[self.rows] if divisors.ndim else None

    def _network(self, t: int, layer: GatedLayerSpec) -> RadialNetwork:
        names = [f"layers.{t}.radial.{k}.weight" for k in range(len(layer.radial_widths) + 1)]
        matrices = [torch.from_numpy(self._array(name)) for name in names]
        scaled = tuple(matrix / matrix.shape[0] ** 0.5 for matrix in matrices)
        powers = None
        if not self.spec.has_unit_harmonics:
            before = parse_irreps(layer.irreps_in)
            powers = torch.cat([torch.full((before[i].mul,), l_edge) for i, l_edge, _ in layer.paths])
        scale = self.spec.radial.activation_scale
        return RadialNetwork(scaled, activation_scale("silu") if scale is None else scale, powers=powers)

    def _paths(
        self, layer: GatedLayerSpec, n_edge: int
    ) -> tuple[int, tuple[ConvolutionPath, ...], dict[tuple[int, int], tuple[int, int]]]:
        """Return the paths of each copy; their results are (irrep, m, copy of the entry, channel).

        Returns
        -------
        n_components, paths
            Of the convolution.
        groups
            First component and number of copies of each irrep.
        """
        before, mid = parse_irreps(layer.irreps_in), parse_irreps(layer.irreps_mid)
        starts = _starts(before, n_edge)
        groups, reached = {}, 0
        for entry in simplify_irreps(mid):
            groups[entry.kind] = reached, entry.mul // n_edge
            reached += entry.dim * (entry.mul // n_edge)
        first_copy, counts = [], dict.fromkeys(groups, 0)
        for entry in mid:
            first_copy.append(counts[entry.kind])
            counts[entry.kind] += entry.mul // n_edge
        paths = []
        for i, l_edge, k in layer.paths:
            entry, out = before[i], mid[k]
            symbols = coupling(self.trained, entry.order, l_edge, out.order) * out.dim**0.5
            start, n_copies = groups[out.kind]
            for copy in range(entry.mul // n_edge):
                path = ConvolutionPath(
                    in_start=starts[i] + copy * entry.dim,
                    out_start=start + first_copy[k] + copy,
                    out_stride=n_copies,
                    l_in=entry.order,
                    l_edge=l_edge,
                    l_out=out.order,
                    coupling=symbols,
                )
                paths.append(path)
        return reached, tuple(paths), groups

    def _message(
        self, layer: GatedLayerSpec, groups: dict[tuple[int, int], tuple[int, int]], gate_in: Irreps
    ) -> tuple[LinearBlock, ...]:
        """Return the linear map after the sum over neighbours, divided by the denominator."""
        matrices = self._linear(layer.message)[0]
        t, before = int(layer.message.name.split(".")[1]), parse_irreps(layer.message.irreps_in)
        factor = 1.0 if self._divisors(t) is not None else 1.0 / float(self._array(f"layers.{t}.denominator"))
        blocks = []
        for (i, k), matrix in matrices.items():
            start, n_copies = groups[before[i].kind]
            for columns, out in self._columns(gate_in, k):
                part = torch.from_numpy(np.ascontiguousarray(factor * matrix[:, columns]))
                blocks.append(LinearBlock(start, n_copies, out, before[i].dim, part))
        return tuple(blocks)

    def _blocks(
        self, matrices: Matrices, before: Irreps, after: Irreps, n_in: int, n_out: int
    ) -> tuple[LinearBlock, ...]:
        """Return the blocks of a map of features after a gate; its result is (irrep, copy, m, channel)."""
        starts, outs = _starts(before, n_in), _starts(after, n_out)
        blocks = []
        for (i, k), matrix in matrices.items():
            for copy in range(after[k].mul // n_out):
                part = np.ascontiguousarray(matrix[..., copy * n_out : (copy + 1) * n_out])
                out = outs[k] + copy * after[k].dim
                blocks.append(
                    LinearBlock(starts[i], before[i].mul // n_in, out, before[i].dim, torch.from_numpy(part))
                )
        return tuple(blocks)

    def _columns(self, irreps: Irreps, k: int) -> list[tuple[slice, int]]:
        """Return (its columns, first component) of each copy of an entry."""
        n, start = self.n_channels, _starts(irreps, self.n_channels)[k]
        copies = range(irreps[k].mul // n)
        return [(slice(copy * n, (copy + 1) * n), start + copy * irreps[k].dim) for copy in copies]

    def _skip(
        self, t: int, layer: GatedLayerSpec, before: Irreps, gate_in: Irreps, n_in: int
    ) -> tuple[LinearBlock, ...]:
        if layer.self_connection == "none":
            return ()
        weight = self._array(f"layers.{t}.self_connection.weight")
        if layer.self_connection == "linear":
            matrices = linear_matrices(weight, before, gate_in)
        else:
            matrices = self._element_matrices(weight, before, gate_in)
        return self._blocks(matrices, before, gate_in, n_in, self.n_channels)

    def _element_matrices(self, weight: np.ndarray, before: Irreps, after: Irreps) -> Matrices:
        """Return the matrices (n_chosen, n_in, n_out) of a tensor product with the one-hot element."""
        n_elements, matrices, offset = len(self.spec.atomic_numbers), {}, 0
        for i, k in linear_pairs(before, after):
            shape = before[i].mul, n_elements, after[k].mul
            block = weight[offset : offset + math.prod(shape)].reshape(shape)
            fan_in = n_elements * linear_fan_in(before, after, k)
            matrices[i, k] = block.transpose(1, 0, 2)[self.rows] / fan_in**0.5
            offset += math.prod(shape)
        return matrices

    def _gate(self, gate: GateSpec) -> tuple[GatePart, ...]:
        irreps = parse_irreps(gate.irreps_in)
        starts = dict(zip((entry.kind for entry in irreps), _starts(irreps, self.n_channels), strict=True))

        def place(entry: Entry, first: int) -> int:
            return starts[entry.kind] + entry.dim * (first // self.n_channels)

        found = {(part, number): (entry, place(entry, first)) for part, number, entry, first in gate_places(gate)}
        parts = []
        for number, (_, name) in enumerate(gate.scalars):
            entry, start = found["scalars", number]
            parts.append(GatePart(start, entry.mul // self.n_channels, name, activation_scale(name)))
        for number, (_, name) in enumerate(gate.gates):
            (entry, start), (gated, gated_start) = found["gates", number], found["gated", number]
            n_copies = entry.mul // self.n_channels
            parts.append(GatePart(start, n_copies, name, activation_scale(name), gated_start, gated.dim))
        return tuple(parts)


def _n_components(irreps: Irreps, n_channels: int) -> int:
    return sum(entry.dim * (entry.mul // n_channels) for entry in irreps)


def _starts(irreps: Irreps, n_channels: int) -> list[int]:
    """Return the first component of each entry."""
    sizes = [entry.dim * (entry.mul // n_channels) for entry in irreps]
    return [sum(sizes[:k]) for k in range(len(sizes))]
