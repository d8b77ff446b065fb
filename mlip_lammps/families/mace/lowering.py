"""Conversion of a trained model to the constants of its layers: matrices, couplings and polynomials.

All normalisations of e3nn are folded in here, so that the layers only multiply and add and do not depend on irreps.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from ase.data import chemical_symbols
from e3nn import o3
from torch import Tensor

from mlip_lammps.core.errors import UnsupportedModelError, UserInputError
from mlip_lammps.families.mace.couplings import wigner_3j
from mlip_lammps.families.mace.heads import select_head
from mlip_lammps.families.mace.interactions import block_of
from mlip_lammps.families.mace.reader.validation import order_weight
from mlip_lammps.families.mace.spec import (
    BASIS_ARRAYS,
    TRANSFORM_PARAMETERS,
    ZBL_BOHR,
    ZBL_COULOMB,
    ZBL_EXPONENTS,
    LayerSpec,
    MaceModel,
    weights_of,
)
from mlip_lammps.kernels.lowered import (
    ConvolutionPath,
    Density,
    DistanceTransform,
    Gate,
    LinearBlock,
    LoweredLayer,
    LoweredModel,
    PolynomialOrder,
    RadialBasis,
    RadialNetwork,
    RepulsionTables,
)


def lower(trained: MaceModel, atomic_numbers: tuple[int, ...] | None = None) -> LoweredModel:
    """Fold the weights of ``trained`` into the constants of its layers.

    Parameters
    ----------
    atomic_numbers
        Elements to keep, in species order; None for all elements of the model.

    Raises
    ------
    UserInputError
        If the model does not know one of ``atomic_numbers``, or has several heads.
    UnsupportedModelError
        If the irreps of a layer have different numbers of channels.
    """
    trained = select_head(trained, None)
    spec = trained.spec
    chosen = atomic_numbers or spec.atomic_numbers
    missing = [z for z in chosen if z not in spec.atomic_numbers]
    if missing:
        raise UserInputError(
            f"the model does not know {chemical_symbols[missing[0]]}; choose among "
            f"{', '.join(chemical_symbols[z] for z in spec.atomic_numbers)}"
        )
    rows = [spec.atomic_numbers.index(z) for z in chosen]
    table = _Table(trained, rows)
    energies = table["atomic_energies_fn.atomic_energies"].reshape(-1, len(spec.atomic_numbers))[0]
    scale = float(table["scale_shift.scale"].reshape(-1)[0])
    return LoweredModel(
        atomic_numbers=tuple(chosen),
        cutoff=spec.cutoff,
        l_max=spec.l_max,
        radial=RadialBasis(
            kind=spec.radial.basis,
            parameters=table[f"radial_embedding.bessel_fn.{BASIS_ARRAYS[spec.radial.basis][0]}"].reshape(-1),
            factor=table[f"radial_embedding.bessel_fn.{BASIS_ARRAYS[spec.radial.basis][1]}"].reshape(()),
            cutoff_power=spec.radial.cutoff_power,
            is_cutoff_on_basis=spec.radial.cutoff_on == "basis",
            transform=_distance_transform(table, chosen),
        ),
        layers=tuple(_lower_layer(table, t, layer) for t, layer in enumerate(spec.layers, start=1)),
        node_constants=energies[rows] + table["scale_shift.shift"].reshape(-1)[0],
        energy_scale=scale,
        repulsion=_repulsion(table, chosen, scale) if spec.pair_repulsion is not None else None,
    )


class _Table:
    """Weights as float64 tensors, and the indices of the chosen elements."""

    def __init__(self, trained: MaceModel, rows: list[int]):
        self.spec = trained.spec
        self.weights = trained.weights
        self.rows = rows

    def __getitem__(self, name: str) -> Tensor:
        return torch.from_numpy(np.asarray(self.weights[name], dtype=np.float64))


def _distance_transform(table: _Table, chosen: tuple[int, ...]) -> DistanceTransform | None:
    kind = table.spec.radial.distance_transform
    if kind is None:
        return None
    prefix = "radial_embedding.distance_transform"
    radii = table[f"{prefix}.covalent_radii"][list(chosen)]
    sums = radii[:, None] + radii
    return DistanceTransform(
        kind=kind,
        parameters=tuple(float(table[f"{prefix}.{name}"]) for name in TRANSFORM_PARAMETERS[kind]),
        lengths=(0.5 * sums if kind == "Agnesi" else sums).reshape(-1),
    )


def _repulsion(table: _Table, chosen: tuple[int, ...], scale: float) -> RepulsionTables:
    charges = torch.tensor(chosen, dtype=torch.float64)
    powers = charges ** table["pair_repulsion_fn.a_exp"]
    radii = table["pair_repulsion_fn.covalent_radii"][list(chosen)]
    screening = table["pair_repulsion_fn.a_prefactor"] * ZBL_BOHR
    return RepulsionTables(
        n_elements=len(chosen),
        strengths=0.5 * scale * ZBL_COULOMB * torch.outer(charges, charges).reshape(-1),
        decays=((powers[:, None] + powers) / screening).reshape(-1),
        reaches=(1.0 / (radii[:, None] + radii)).reshape(-1),
        coefficients=tuple(table["pair_repulsion_fn.c"].tolist()),
        exponents=ZBL_EXPONENTS,
        cutoff_power=table.spec.pair_repulsion.cutoff_power,
        cutoff=table.spec.cutoff,
    )


def _lower_layer(table: _Table, t: int, layer: LayerSpec) -> LoweredLayer:
    irreps_in, irreps_mid = o3.Irreps(layer.irreps_in), o3.Irreps(layer.irreps_mid)
    irreps_message, irreps_out = o3.Irreps(layer.irreps_message), o3.Irreps(layer.irreps_out)
    irreps_edge = o3.Irreps(layer.irreps_edge)
    n_channels = _common_channels(irreps_in, irreps_message, irreps_out)
    product = weights_of("products", t)
    is_nonlinear = layer.readout is not None and layer.readout.kind != "linear"
    interaction = block_of(layer.interaction).lower(InteractionLowering(table, t, layer))
    return LoweredLayer(
        n_channels=n_channels,
        n_edge_channels=_common_channels(irreps_edge, irreps_mid),
        embedding=_embedding(table, n_channels) if t == 1 else None,
        n_components_in=_components(irreps_in),
        n_components_edge=_components(irreps_edge),
        n_components_mid=_components(irreps_mid),
        n_components_message=_components(irreps_message),
        n_components_out=_components(irreps_out),
        up=interaction.up,
        paths=interaction.paths,
        radial=interaction.radial,
        message=interaction.message,
        polynomial=_polynomial(table, f"{product}.symmetric_contractions", layer, irreps_message, irreps_out),
        mix=_linear(table[f"{product}.linear.weight"], irreps_out, irreps_out),
        skip=interaction.skip,
        readout_scalars=tuple(_starts(irreps_out)[b] for b, (_, ir) in enumerate(irreps_out) if ir == o3.Irrep("0e")),
        readout_matrices=_readout_matrices(table, t, layer),
        readout_activation_scale=layer.readout.activation_scale if is_nonlinear else 1.0,
        readout_biases=_readout_biases(table, t, layer),
        readout_activation=layer.readout.activation if is_nonlinear else "silu",
        density=interaction.density,
        gate=interaction.gate,
    )


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


class InteractionLowering:
    """Builder of the constants of an interaction block; names are those of its submodules in mace-torch."""

    def __init__(self, table: "_Table", t: int, layer: LayerSpec):
        self.table, self.layer = table, layer
        self.prefix = weights_of("interactions", t)
        self.irreps_in, self.irreps_edge = o3.Irreps(layer.irreps_in), o3.Irreps(layer.irreps_edge)
        self.irreps_mid = o3.Irreps(layer.irreps_mid)
        self.irreps_message, self.irreps_out = o3.Irreps(layer.irreps_message), o3.Irreps(layer.irreps_out)
        self.n_channels = self.irreps_message[0].mul
        self._mid = _MidLayout(self.irreps_mid)

    def lowered(
        self,
        message: tuple[LinearBlock, ...],
        skip: tuple[LinearBlock, ...],
        radial: RadialNetwork | None = None,
        density: Density | None = None,
        gate: Gate | None = None,
    ) -> LoweredInteraction:
        """Return the constants of a block: the convolution common to all blocks, and those given.

        ``radial`` is the network ``conv_tp_weights``, by default one without biases.
        """
        up = self.linear("linear_up", self.irreps_in, self.irreps_edge)
        paths = _paths(self.layer, self.table.spec.dtype, self.irreps_edge, self.irreps_mid, self._mid)
        if radial is None:
            radial = self.network("conv_tp_weights", len(self.layer.radial_widths) + 1)
        return LoweredInteraction(up, paths, radial, message, skip, density, gate)

    def linear(self, name: str, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> tuple[LinearBlock, ...]:
        """Return the linear map ``name`` of an atom's features."""
        return _linear(self.table[f"{self.prefix}.{name}.weight"], irreps_in, irreps_out)

    def array(self, name: str) -> Tensor:
        """Return an array of the block by its name in it."""
        return self.table[f"{self.prefix}.{name}"]

    def arrays(self, pattern: str, step: int, first: int = 0) -> list[Tensor]:
        """Return the arrays with the numbers first, first + step, ... in ``pattern``, as many as there are."""
        found: list[Tensor] = []
        while f"{self.prefix}.{pattern.format(first + step * len(found))}" in self.table.weights:
            found.append(self.array(pattern.format(first + step * len(found))))
        return found

    def element_rows(self, name: str, n_scalars: int) -> Tensor:
        """Return the rows of the linear map ``name`` of one-hot elements, shape (n_chosen, n_scalars)."""
        n_elements = len(self.table.spec.atomic_numbers)
        return self.array(f"{name}.weight").view(n_elements, n_scalars)[self.table.rows] / n_elements**0.5

    def network(self, name: str, n_matrices: int) -> RadialNetwork:
        """Return the ``FullyConnectedNet`` ``name``."""
        matrices = [self.table[f"{self.prefix}.{name}.layer{k}.weight"] for k in range(n_matrices)]
        scaled = tuple(matrix / matrix.shape[0] ** 0.5 for matrix in matrices)
        return RadialNetwork(scaled, self.layer.radial_activation_scale)

    def message(
        self, name: str, scale: float, by_element: str | None = None, irreps_out: o3.Irreps | None = None
    ) -> tuple[LinearBlock, ...]:
        """Return the linear map ``name`` of the summed messages times ``scale``, followed by the map ``by_element``.

        ``irreps_out`` are the irreps after it, by default those of the message.
        """
        irreps_out = irreps_out or self.irreps_message
        linear = _matrices(self.table[f"{self.prefix}.{name}.weight"], self.irreps_mid, irreps_out)
        element = {}
        if by_element is not None:
            weight = f"{self.prefix}.{by_element}.weight"
            element = _element_matrices(self.table, weight, self.irreps_message, self.irreps_message)
        blocks = []
        for k, ir, columns, start in _columns(irreps_out, self.n_channels):
            sources = [i for i, out in linear if out == k]
            if not sources:
                continue
            matrix = torch.cat([linear[i, k][:, columns] for i in sources]) * scale
            if element:
                matrix = matrix @ element[k, k]
            blocks.append(LinearBlock(self._mid.group_start[ir], self._mid.copies[ir], start, ir.dim, matrix))
        return tuple(blocks)

    def skip(self, name: str) -> tuple[LinearBlock, ...]:
        """Return the element-dependent linear map ``name`` from the input features to the result."""
        return _by_element(self.table, f"{self.prefix}.{name}.weight", self.irreps_in, self.irreps_out)


def _common_channels(*all_irreps: o3.Irreps) -> int:
    counts = Counter(mul for irreps in all_irreps for mul, _ in irreps)
    if len(counts) != 1:
        raise UnsupportedModelError(
            f"the irreps of one layer have different channel counts {sorted(counts)}, expected one count; "
            "train with equal channel counts"
        )
    return next(iter(counts))


def _components(irreps: o3.Irreps) -> int:
    return sum(ir.dim for _, ir in irreps)


def _starts(irreps: o3.Irreps) -> list[int]:
    """Return the first component of each irrep in the layout with the channel as innermost index."""
    dims = [ir.dim for _, ir in irreps]
    return [sum(dims[:b]) for b in range(len(dims))]


def _columns(irreps: o3.Irreps, n_channels: int) -> Iterator[tuple[int, o3.Irrep, slice, int]]:
    """Yield (entry, irrep, its copies, first component) for each ``n_channels`` copies of an entry."""
    start = 0
    for k, (mul, ir) in enumerate(irreps):
        for first in range(0, mul, n_channels):
            yield k, ir, slice(first, first + n_channels), start
            start += ir.dim


class _MidLayout:
    """Order of the convolution's outputs: by irrep, within an irrep by m (outermost), then by path."""

    def __init__(self, irreps_mid: o3.Irreps):
        entries: dict[o3.Irrep, list[int]] = {}
        for k, (_, ir) in enumerate(irreps_mid):
            entries.setdefault(ir, []).append(k)
        self.group_start: dict[o3.Irrep, int] = {}
        self.copies = {ir: len(members) for ir, members in entries.items()}
        self.place: dict[int, int] = {}
        start = 0
        for ir, members in entries.items():
            self.group_start[ir] = start
            for position, k in enumerate(members):
                self.place[k] = start + position
            start += ir.dim * len(members)


def _embedding(table: _Table, n_channels: int) -> Tensor:
    n_elements = len(table.spec.atomic_numbers)
    matrix = table["node_embedding.linear.weight"].view(n_elements, n_channels) / n_elements**0.5
    return matrix[table.rows].unsqueeze(1)


def _matrices(weight: Tensor, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> dict[tuple[int, int], Tensor]:
    """Return the normalised matrix of each (input entry, output entry) pair of an ``o3.Linear`` with ``weight``."""
    pairs = [
        (i, k) for i, (_, ir_in) in enumerate(irreps_in) for k, (_, ir_out) in enumerate(irreps_out) if ir_in == ir_out
    ]
    matrices, offset = {}, 0
    for i, k in pairs:
        n_in, n_out = irreps_in[i].mul, irreps_out[k].mul
        fan_in = sum(irreps_in[a].mul for a, b in pairs if b == k)
        matrices[i, k] = weight[offset : offset + n_in * n_out].view(n_in, n_out) / fan_in**0.5
        offset += n_in * n_out
    return matrices


def _linear(weight: Tensor, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> tuple[LinearBlock, ...]:
    starts, n_channels = _starts(irreps_in), min(mul for mul, _ in irreps_out)
    matrices = _matrices(weight, irreps_in, irreps_out)
    return tuple(
        LinearBlock(starts[i], 1, start, ir.dim, matrix[:, columns].contiguous())
        for (i, out), matrix in matrices.items()
        for k, ir, columns, start in _columns(irreps_out, n_channels)
        if k == out
    )


def _element_matrices(
    table: _Table, name: str, irreps_in: o3.Irreps, irreps_out: o3.Irreps
) -> dict[tuple[int, int], Tensor]:
    """Return matrices, shape (n_chosen, n_in, n_out), for each pair of a tensor product with one-hot elements."""
    weight, n_elements = table[name], len(table.spec.atomic_numbers)
    pairs = [
        (i, k) for i, (_, ir_in) in enumerate(irreps_in) for k, (_, ir_out) in enumerate(irreps_out) if ir_in == ir_out
    ]
    matrices, offset = {}, 0
    for i, k in pairs:
        n_in, n_out = irreps_in[i].mul, irreps_out[k].mul
        fan_in = sum(irreps_in[a].mul * n_elements for a, b in pairs if b == k)
        block = weight[offset : offset + n_in * n_elements * n_out].view(n_in, n_elements, n_out)
        matrices[i, k] = block.permute(1, 0, 2)[table.rows] / fan_in**0.5
        offset += n_in * n_elements * n_out
    return matrices


def _by_element(table: _Table, name: str, irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> tuple[LinearBlock, ...]:
    starts_in, starts_out = _starts(irreps_in), _starts(irreps_out)
    return tuple(
        LinearBlock(starts_in[i], 1, starts_out[k], irreps_out[k].ir.dim, matrix)
        for (i, k), matrix in _element_matrices(table, name, irreps_in, irreps_out).items()
    )


def _wigner_3j(l_in: int, l_edge: int, l_out: int, file_dtype: str) -> Tensor:
    """Return the coupling, rounded as e3nn rounds it for ``file_dtype``: to float32 unless an l is 0."""
    coupling = wigner_3j(l_in, l_edge, l_out)
    is_rounded = file_dtype == "float32" and 0 not in (l_in, l_edge, l_out)
    return coupling.to(torch.float32).to(torch.float64) if is_rounded else coupling


def _paths(
    layer: LayerSpec, file_dtype: str, irreps_in: o3.Irreps, irreps_mid: o3.Irreps, mid: _MidLayout
) -> tuple[ConvolutionPath, ...]:
    starts = _starts(irreps_in)
    paths = []
    for i_in, l_edge, i_mid in layer.paths:
        l_in, ir_out = irreps_in[i_in].ir.l, irreps_mid[i_mid].ir
        coupling = _wigner_3j(l_in, l_edge, ir_out.l, file_dtype) * ir_out.dim**0.5
        paths.append(
            ConvolutionPath(
                in_start=starts[i_in],
                out_start=mid.place[i_mid],
                out_stride=mid.copies[ir_out],
                l_in=l_in,
                l_edge=l_edge,
                l_out=ir_out.l,
                # In MACE, edge vectors point from the neighbour to the centre; here they point to the neighbour.
                coupling=coupling * (-1.0) ** l_edge,
            )
        )
    return tuple(paths)


def _polynomial(
    table: _Table, prefix: str, layer: LayerSpec, irreps_message: o3.Irreps, irreps_out: o3.Irreps
) -> tuple[PolynomialOrder, ...]:
    n_in, n_out, starts = _components(irreps_message), _components(irreps_out), _starts(irreps_out)
    orders = []
    for degree in range(1, layer.correlation + 1):
        pieces = []
        for k, (_, ir) in enumerate(irreps_out):
            contraction = f"{prefix}.contractions.{k}"
            coupling = table[f"{contraction}.U_matrix_{degree}"]
            coupling = coupling.reshape(ir.dim, *[n_in] * degree, coupling.shape[-1])
            weight = table[f"{contraction}.{order_weight(layer, degree)}"]
            rows = table.rows if table.spec.is_product_by_element else [0] * len(table.rows)
            pieces.append((starts[k], coupling, weight[rows]))
        order = _polynomial_order(pieces, degree, n_out)
        if order is not None:
            orders.append(order)
    return tuple(orders)


def _polynomial_order(
    pieces: list[tuple[int, Tensor, Tensor]], degree: int, n_components_out: int
) -> PolynomialOrder | None:
    """Collect the dense couplings of each output irrep as monomials with sorted factors."""
    n_parameters = max(weights.shape[1] for _, _, weights in pieces)
    sums: dict[tuple[int, ...], Tensor] = {}
    for start, coupling, _ in pieces:
        for entry in coupling.nonzero().tolist():
            m, factors, parameter = entry[0], tuple(sorted(entry[1:-1])), entry[-1]
            row = sums.setdefault(factors, torch.zeros(n_components_out, n_parameters, dtype=torch.float64))
            row[start + m, parameter] += coupling[tuple(entry)]
    kept = {factors: row for factors, row in sorted(sums.items()) if row.abs().max() > 1e-12}
    if not kept:
        return None
    n_elements, _, n_channels = pieces[0][2].shape
    weights = torch.zeros(n_components_out, n_elements, n_parameters, n_channels, dtype=torch.float64)
    for start, coupling, piece in pieces:
        weights[start : start + coupling.shape[0], :, : piece.shape[1]] = piece
    return PolynomialOrder(
        indices=torch.tensor(list(kept), dtype=torch.int64).view(-1, degree),
        couplings=torch.stack(list(kept.values())),
        weights=weights.permute(1, 0, 2, 3).contiguous(),
    )


def _readout_biases(table: _Table, t: int, layer: LayerSpec) -> tuple[Tensor, ...]:
    if layer.readout is None or layer.readout.kind != "biased":
        return ()
    return tuple(table[f"{weights_of('readouts', t)}.{name}.bias"] for name in layer.readout.maps[1:])


def _readout_matrices(table: _Table, t: int, layer: LayerSpec) -> tuple[Tensor, ...]:
    if layer.readout is None:
        return ()
    irreps_out = o3.Irreps(layer.irreps_out)
    n_scalars = sum(mul for mul, ir in irreps_out if ir == o3.Irrep("0e"))
    matrices, n_in = [], n_scalars
    for name in layer.readout.maps:
        weight = table[f"{weights_of('readouts', t)}.{name}.weight"]
        matrices.append(weight.view(n_in, -1) / n_in**0.5)
        n_in = matrices[-1].shape[1]
    if layer.readout.activation == "identity" and layer.readout.kind == "nonlinear":
        return (layer.readout.activation_scale * matrices[0] @ matrices[1],)
    return tuple(matrices)


