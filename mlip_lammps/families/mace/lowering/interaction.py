"""Builder of the constants of an interaction block."""

from dataclasses import dataclass, replace

import torch
from e3nn import o3
from e3nn.math import normalize2mom
from torch import Tensor

from mlip_lammps.families.mace.lowering.layout import (
    MidLayout,
    WeightTable,
    columns_of,
    convolution_paths,
    element_blocks,
    element_matrices,
    linear_blocks,
    matrices_of,
    starts_of,
    with_channels,
)
from mlip_lammps.families.mace.spec import LayerSpec, weights_of
from mlip_lammps.kernels.lowered import Attention, ConvolutionPath, Density, Gate, LinearBlock
from mlip_lammps.kernels.radial_constants import RadialNetwork


@dataclass(frozen=True)
class LoweredInteraction:
    """The part of a ``LoweredLayer`` that depends on its interaction block."""

    up: tuple[LinearBlock, ...]
    paths: tuple[ConvolutionPath, ...]
    radial: RadialNetwork
    message: tuple[LinearBlock, ...]
    skip: tuple[LinearBlock, ...]
    density: Density | None = None
    gate: Gate | None = None
    attention: Attention | None = None


class InteractionLowering:
    """Builder of the constants of an interaction block; names are those of its submodules in mace-torch."""

    def __init__(self, table: "WeightTable", t: int, layer: LayerSpec):
        self.table, self.t, self.layer = table, t, layer
        self.prefix = weights_of("interactions", t)
        self.irreps_in, self.irreps_edge = o3.Irreps(layer.irreps_in), o3.Irreps(layer.irreps_edge)
        self.irreps_mid = o3.Irreps(layer.irreps_mid)
        self.irreps_message, self.irreps_out = o3.Irreps(layer.irreps_message), o3.Irreps(layer.irreps_out)
        self.n_channels = self.irreps_message[0].mul
        # Irreps with fewer channels than others get channels of zeros: the kernels have one number for all.
        self.n_edge_channels = max(mul for mul, _ in self.irreps_edge)
        self._mid = MidLayout(self.irreps_mid)

    def lowered(
        self,
        message: tuple[LinearBlock, ...],
        skip: tuple[LinearBlock, ...],
        radial: RadialNetwork | None = None,
        density: Density | None = None,
        gate: Gate | None = None,
        attention: Attention | None = None,
    ) -> LoweredInteraction:
        """Return the constants of a block: the convolution common to all blocks, and those given.

        ``radial`` is the network ``conv_tp_weights``, by default one without biases.
        """
        up = self._up()
        paths = convolution_paths(self.table.trained, self.t, self.irreps_edge, self.irreps_mid, self._mid)
        if radial is None:
            radial = self.network("conv_tp_weights", len(self.layer.radial_widths) + 1)
        return LoweredInteraction(up, paths, self._padded(radial), message, skip, density, gate, attention)

    def _up(self) -> tuple[LinearBlock, ...]:
        matrices = matrices_of(self.array("linear_up.weight"), self.irreps_in, self.irreps_edge)
        starts_in, starts_out = starts_of(self.irreps_in), starts_of(self.irreps_edge)
        return tuple(
            LinearBlock(
                starts_in[i], 1, starts_out[k], self.irreps_edge[k].ir.dim,
                with_channels(matrix, n_columns=self.n_edge_channels),
            )
            for (i, k), matrix in matrices.items()
        )  # fmt: skip

    def _padded(self, network: RadialNetwork) -> RadialNetwork:
        """Return a network with outputs of 0 for the channels of zeros of each path."""
        widths = [self.irreps_edge[i].mul for i, _, _ in self.layer.paths]

        def padded(outputs: Tensor) -> Tensor:
            parts = outputs.split(widths, dim=1)
            return torch.cat([with_channels(part, n_columns=self.n_edge_channels) for part in parts], dim=1)

        if len(set(widths)) == 1 and widths[0] == self.n_edge_channels:
            return network
        matrices, biases, of_pairs = list(network.matrices), list(network.biases), network.pair_biases
        matrices[-1] = padded(matrices[-1])
        if biases:
            biases[-1] = padded(biases[-1][None])[0]
        if of_pairs is not None and len(matrices) == 1:  # they are added after the first matrix
            of_pairs = padded(of_pairs)
        return replace(network, matrices=tuple(matrices), biases=tuple(biases), pair_biases=of_pairs)

    def edge_linear(self, name: str, irreps_out: str) -> tuple[LinearBlock, ...]:
        """Return the linear map ``name`` of the features that neighbours take."""
        blocks = self.linear(name, self.layer.irreps_edge, irreps_out)
        return tuple(replace(one, matrix=with_channels(one.matrix, n_rows=self.n_edge_channels)) for one in blocks)

    def linear(self, name: str, irreps_in: str, irreps_out: str) -> tuple[LinearBlock, ...]:
        """Return the linear map ``name`` of an atom's features."""
        return linear_blocks(self.table[f"{self.prefix}.{name}.weight"], o3.Irreps(irreps_in), o3.Irreps(irreps_out))

    def array(self, name: str) -> Tensor:
        """Return an array of the block by its name in it."""
        return self.table[f"{self.prefix}.{name}"]

    def network(self, name: str, n_matrices: int) -> RadialNetwork:
        """Return the ``FullyConnectedNet`` ``name``."""
        matrices = [self.table[f"{self.prefix}.{name}.layer{k}.weight"] for k in range(n_matrices)]
        scaled = tuple(matrix / matrix.shape[0] ** 0.5 for matrix in matrices)
        return RadialNetwork(scaled, self.layer.radial_activation_scale)

    def attention(self, name: str, down: str, n_down: int) -> tuple[RadialNetwork, Attention]:
        """Return the network ``name`` on the basis and ``n_down`` scalars, the map ``down``, of each of the two atoms.

        Its first matrix acts on the basis.
        """
        network = self.network(name, len(self.layer.radial_widths) + 1)
        first, *others = network.matrices
        from_basis, from_source, from_target = first.split([first.shape[0] - 2 * n_down, n_down, n_down])
        blocks = self.linear(down, self.layer.irreps_in, f"{n_down}x0e")
        radial = RadialNetwork((from_basis.contiguous(), *others), network.scale)
        return radial, Attention(blocks, from_source.contiguous(), from_target.contiguous())

    def normalized_network(self, name: str, source: str, target: str, n_scalars: int) -> RadialNetwork:
        """Return the ``RadialMLP`` ``name`` on the basis and ``n_scalars`` of each embedding of the two elements.

        Its first matrix acts on the basis; what it adds for a pair of elements is a bias.
        """
        first, *others = self._numbered(f"{name}.net.{{}}.weight", 0)
        from_basis, from_source, from_target = first.split([first.shape[1] - 2 * n_scalars, n_scalars, n_scalars], 1)
        of_source, of_target = (self._element_rows(embedding, n_scalars) for embedding in (source, target))
        of_pairs = (of_target @ from_target.t())[:, None] + of_source @ from_source.t()
        norms = [self._numbered(f"{name}.net.{{}}.{part}", 1) for part in ("weight", "bias")]
        return RadialNetwork(
            matrices=tuple(matrix.t().contiguous() for matrix in (from_basis, *others)),
            biases=tuple(self._numbered(f"{name}.net.{{}}.bias", 0)),
            norms=tuple(zip(*norms, strict=True)),
            pair_biases=of_pairs.flatten(0, 1),
        )

    def _numbered(self, pattern: str, first: int) -> list[Tensor]:
        """Return the arrays of every third step, as many as there are."""
        found: list[Tensor] = []
        while f"{self.prefix}.{pattern.format(first + 3 * len(found))}" in self.table.weights:
            found.append(self.array(pattern.format(first + 3 * len(found))))
        return found

    def _element_rows(self, name: str, n_scalars: int) -> Tensor:
        """Return the rows of the linear map ``name`` of one-hot elements, shape (n_chosen, n_scalars)."""
        n_elements = len(self.table.spec.atomic_numbers)
        return self.array(f"{name}.weight").view(n_elements, n_scalars)[self.table.rows] / n_elements**0.5

    def density(self, network: RadialNetwork, offset: str | None = None, factor: str | None = None) -> Density:
        """Return the divisor of the message; ``offset`` and ``factor`` name numbers of the block, 1 by default."""
        numbers = (1.0 if name is None else float(self.array(name)) for name in (offset, factor))
        return Density(network, *numbers)

    def gate(self, residual: tuple[LinearBlock, ...], after: str) -> Gate:
        """Return the gate of the message with the linear map ``after`` behind it."""
        return Gate(
            residual=residual,
            orders=tuple(ir.l for _, ir in self.irreps_message if ir.l > 0),
            scalar_scale=normalize2mom(torch.nn.functional.silu).cst,
            gate_scale=normalize2mom(torch.nn.functional.sigmoid).cst,
            linear=self.linear(after, self.layer.irreps_message, self.layer.irreps_message),
        )

    def message(
        self, name: str, scale: float, by_element: str | None = None, irreps_out: str | None = None
    ) -> tuple[LinearBlock, ...]:
        """Return the linear map ``name`` of the summed messages times ``scale``, followed by the map ``by_element``.

        ``irreps_out`` are the irreps after it, by default those of the message.
        """
        after = self.irreps_message if irreps_out is None else o3.Irreps(irreps_out)
        linear = matrices_of(self.table[f"{self.prefix}.{name}.weight"], self.irreps_mid, after)
        element = {}
        if by_element is not None:
            weight = f"{self.prefix}.{by_element}.weight"
            element = element_matrices(self.table, weight, self.irreps_message, self.irreps_message)
        blocks = []
        for k, ir, columns, start in columns_of(after, self.n_channels):
            sources = [i for i, out in linear if out == k]
            if not sources:
                continue
            matrices = [with_channels(linear[i, k][:, columns], n_rows=self.n_edge_channels) for i in sources]
            matrix = torch.cat(matrices) * scale
            if element:
                matrix = matrix @ element[k, k]
            blocks.append(LinearBlock(self._mid.group_start[ir], self._mid.copies[ir], start, ir.dim, matrix))
        return tuple(blocks)

    def skip(self, name: str) -> tuple[LinearBlock, ...]:
        """Return the element-dependent linear map ``name`` from the input features to the result."""
        return element_blocks(self.table, f"{self.prefix}.{name}.weight", self.irreps_in, self.irreps_out)
