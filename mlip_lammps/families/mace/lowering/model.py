"""Conversion of a trained model to the constants of its layers: matrices, couplings and polynomials.

All normalisations of e3nn are folded in here, so that the layers only multiply and add and do not depend on irreps.
"""

from collections import Counter

import torch
from ase.data import chemical_symbols
from e3nn import o3
from torch import Tensor

from mlip_lammps.core.errors import UnsupportedModelError, UserInputError
from mlip_lammps.families.mace.heads import select_head
from mlip_lammps.families.mace.interactions import block_of
from mlip_lammps.families.mace.lowering.embedding import global_embedding
from mlip_lammps.families.mace.lowering.interaction import InteractionLowering
from mlip_lammps.families.mace.lowering.layout import WeightTable, linear_blocks, n_components, starts_of
from mlip_lammps.families.mace.reader.validation import order_weight
from mlip_lammps.families.mace.spec import (
    BASIS_ARRAYS,
    CHARGE_READOUTS,
    TRANSFORM_PARAMETERS,
    ZBL_BOHR,
    ZBL_COULOMB,
    ZBL_EXPONENTS,
    LayerSpec,
    MaceModel,
    weights_of,
)
from mlip_lammps.kernels.lowered import LoweredLayer, LoweredModel, PolynomialOrder, RepulsionTables
from mlip_lammps.kernels.radial_constants import DistanceTransform, RadialBasis


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
    table = WeightTable(trained, rows)
    energies = table["atomic_energies_fn.atomic_energies"].reshape(-1, len(spec.atomic_numbers))[0]
    scale = float(table["scale_shift.scale"].reshape(-1)[0])
    return LoweredModel(
        atomic_numbers=tuple(chosen),
        cutoff=spec.cutoff,
        l_max=spec.l_max,
        radial=_radial_basis(table, chosen),
        layers=tuple(_lower_layer(table, t, layer) for t, layer in enumerate(spec.layers, start=1)),
        node_constants=energies[rows] + table["scale_shift.shift"].reshape(-1)[0],
        energy_scale=scale,
        repulsion=_repulsion(table, chosen, scale) if spec.pair_repulsion is not None else None,
        global_embedding=global_embedding(table),
        latent_ewald=spec.latent_ewald,
    )


def _radial_basis(table: WeightTable, chosen: tuple[int, ...]) -> RadialBasis:
    radial = table.spec.radial
    numbers, factor = BASIS_ARRAYS[radial.basis]
    prefix = "radial_embedding.bessel_fn"
    parameters = table[f"{prefix}.{numbers}"].reshape(-1)
    return RadialBasis(
        kind=radial.basis,
        parameters=parameters,
        factor=torch.ones((), dtype=torch.float64) if factor is None else table[f"{prefix}.{factor}"].reshape(()),
        orders=tuple(int(one) for one in parameters) if radial.basis == "chebyshev" else (),
        cutoff_power=radial.cutoff_power,
        is_cutoff_on_basis=radial.cutoff_on == "basis",
        transform=_distance_transform(table, chosen),
    )


def _distance_transform(table: WeightTable, chosen: tuple[int, ...]) -> DistanceTransform | None:
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


def _repulsion(table: WeightTable, chosen: tuple[int, ...], scale: float) -> RepulsionTables:
    charges = torch.tensor(chosen, dtype=torch.float64)
    powers = charges ** table["pair_repulsion_fn.a_exp"]
    radii = table["pair_repulsion_fn.covalent_radii"][list(chosen)]
    screening = table["pair_repulsion_fn.a_prefactor"] * ZBL_BOHR
    reaches, share = radii[:, None] + radii, 0.5
    if table.spec.pair_repulsion.has_common_cutoff:
        reaches, share = torch.full_like(reaches, table.spec.cutoff), 1.0
    return RepulsionTables(
        n_elements=len(chosen),
        strengths=share * scale * ZBL_COULOMB * torch.outer(charges, charges).reshape(-1),
        decays=((powers[:, None] + powers) / screening).reshape(-1),
        reaches=(1.0 / reaches).reshape(-1),
        coefficients=tuple(table["pair_repulsion_fn.c"].tolist()),
        exponents=ZBL_EXPONENTS,
        cutoff_power=table.spec.pair_repulsion.cutoff_power,
        cutoff=table.spec.cutoff,
    )


def _lower_layer(table: WeightTable, t: int, layer: LayerSpec) -> LoweredLayer:
    irreps_in, irreps_mid = o3.Irreps(layer.irreps_in), o3.Irreps(layer.irreps_mid)
    irreps_message, irreps_out = o3.Irreps(layer.irreps_message), o3.Irreps(layer.irreps_out)
    irreps_edge = o3.Irreps(layer.irreps_edge)
    n_channels = _common_channels(irreps_in, irreps_message, irreps_out)
    product = weights_of("products", t)
    is_nonlinear = layer.readout is not None and layer.readout.kind != "linear"
    interaction = block_of(layer.interaction).lower(InteractionLowering(table, t, layer))
    return LoweredLayer(
        n_channels=n_channels,
        n_edge_channels=max(mul for mul, _ in irreps_edge),
        embedding=_embedding(table, n_channels) if t == 1 else None,
        n_components_in=n_components(irreps_in),
        n_components_edge=n_components(irreps_edge),
        n_components_mid=n_components(irreps_mid),
        n_components_message=n_components(irreps_message),
        n_components_out=n_components(irreps_out),
        up=interaction.up,
        paths=interaction.paths,
        radial=interaction.radial,
        message=interaction.message,
        polynomial=_polynomial(table, f"{product}.symmetric_contractions", layer, irreps_message, irreps_out),
        mix=linear_blocks(table[f"{product}.linear.weight"], irreps_out, irreps_out),
        skip=interaction.skip,
        readout_scalars=tuple(starts_of(irreps_out)[b] for b, (_, ir) in enumerate(irreps_out) if ir == o3.Irrep("0e")),
        readout_matrices=_readout_matrices(table, t, layer, "readouts"),
        charge_matrices=() if table.spec.latent_ewald is None else _readout_matrices(table, t, layer, CHARGE_READOUTS),
        readout_activation_scale=layer.readout.activation_scale if is_nonlinear else 1.0,
        readout_biases=_readout_biases(table, t, layer),
        readout_activation=layer.readout.activation if is_nonlinear else "silu",
        density=interaction.density,
        gate=interaction.gate,
        attention=interaction.attention,
    )


def _common_channels(*all_irreps: o3.Irreps) -> int:
    counts = Counter(mul for irreps in all_irreps for mul, _ in irreps)
    if len(counts) != 1:
        raise UnsupportedModelError(
            f"the irreps of one layer have different channel counts {sorted(counts)}, expected one count; "
            "train with equal channel counts"
        )
    return next(iter(counts))


def _embedding(table: WeightTable, n_channels: int) -> Tensor:
    n_elements = len(table.spec.atomic_numbers)
    matrix = table["node_embedding.linear.weight"].view(n_elements, n_channels) / n_elements**0.5
    return matrix[table.rows].unsqueeze(1)


def _polynomial(
    table: WeightTable, prefix: str, layer: LayerSpec, irreps_message: o3.Irreps, irreps_out: o3.Irreps
) -> tuple[PolynomialOrder, ...]:
    n_in, n_out, starts = n_components(irreps_message), n_components(irreps_out), starts_of(irreps_out)
    orders = []
    for degree in range(1, layer.correlation + 1):
        pieces = []
        for k, (_, ir) in enumerate(irreps_out):
            contraction = f"{prefix}.contractions.{k}"
            coupling = table[f"{contraction}.U_matrix_{degree}"]
            coupling = coupling.reshape(ir.dim, *[n_in] * degree, coupling.shape[-1])
            weight = table[f"{contraction}.{order_weight(layer, degree)}"]
            rows = table.rows if table.spec.is_product_by_element else [0]
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


def _readout_biases(table: WeightTable, t: int, layer: LayerSpec) -> tuple[Tensor, ...]:
    if layer.readout is None or layer.readout.kind != "biased":
        return ()
    return tuple(table[f"{weights_of('readouts', t)}.{name}.bias"] for name in layer.readout.maps[1:])


def _readout_matrices(table: WeightTable, t: int, layer: LayerSpec, part: str) -> tuple[Tensor, ...]:
    if layer.readout is None:
        return ()
    irreps_out = o3.Irreps(layer.irreps_out)
    n_scalars = sum(mul for mul, ir in irreps_out if ir == o3.Irrep("0e"))
    matrices, n_in = [], n_scalars
    for name in layer.readout.maps:
        weight = table[f"{weights_of(part, t)}.{name}.weight"]
        matrices.append(weight.view(n_in, -1) / n_in**0.5)
        n_in = matrices[-1].shape[1]
    if layer.readout.activation == "identity" and layer.readout.kind == "nonlinear":
        return (layer.readout.activation_scale * matrices[0] @ matrices[1],)
    return tuple(matrices)
