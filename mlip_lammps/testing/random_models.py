"""Random-weight MACE models for tests: specs and weights as in a trained file, created without mace-torch."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from ase.data import atomic_numbers as number_of_symbol
from ase.data import covalent_radii
from e3nn import o3
from numpy.typing import NDArray

from mlip_lammps.families.mace.embeddings import embedding_shapes
from mlip_lammps.families.mace.interactions import block_of
from mlip_lammps.families.mace.reader.validation import order_weight
from mlip_lammps.families.mace.spec import (
    CHARGE_READOUTS,
    TRANSFORM_PARAMETERS,
    EmbeddingSpec,
    LayerSpec,
    MaceModel,
    ModelSpec,
    PairRepulsionSpec,
    RadialSpec,
    ReadoutSpec,
    weights_of,
)
from mlip_lammps.structure.latent_ewald import LatentEwald

REAL_AGNOSTIC, RESIDUAL = "RealAgnosticInteractionBlock", "RealAgnosticResidualInteractionBlock"
DENSITY, DENSITY_RESIDUAL = "RealAgnosticDensityInteractionBlock", "RealAgnosticDensityResidualInteractionBlock"
ATTENTION = "RealAgnosticAttResidualInteractionBlock"
NON_LINEAR = "RealAgnosticResidualNonLinearInteractionBlock"
_SILU_SCALE = 1.6790
"""Approximate factor that gives silu a unit second moment. Readers take it from the spec, so any value is valid."""
_REPULSION = {
    "pair_repulsion_fn.c": np.array([0.1818, 0.5099, 0.2802, 0.02817]),
    "pair_repulsion_fn.a_exp": np.array(0.3),
    "pair_repulsion_fn.a_prefactor": np.array(0.4543),
    "pair_repulsion_fn.covalent_radii": covalent_radii,
}

_TRANSFORM = {
    "a": np.array(1.0805),
    "q": np.array(0.9183),
    "p": np.array(4.5791),
    "alpha": np.array(4.0),
    "covalent_radii": covalent_radii,
}


def random_model(
    elements: Sequence[str | int] = ("H", "O"),
    hidden_irreps: str = "8x0e+8x1o",
    l_max: int = 2,
    correlation: int | Sequence[int] = 2,
    n_layers: int = 2,
    cutoff: float = 4.0,
    seed: int = 0,
    *,
    n_basis: int = 6,
    cutoff_power: int = 5,
    cutoff_on: str = "basis",
    radial_widths: Sequence[int] = (16, 16),
    readout_irreps: str = "4x0e",
    interaction: str | Sequence[str] = (REAL_AGNOSTIC, RESIDUAL),
    avg_num_neighbors: float = 3.0,
    model_class: str = "ScaleShiftMACE",
    dtype: str = "float64",
    pair_repulsion: bool = False,
    heads: Sequence[str] = ("Default",),
    gate: str = "silu",
    has_last_readout_only: bool = False,
    has_biased_readout: bool = False,
    distance_transform: str | None = None,
    edge_irreps: str | None = None,
    is_product_by_element: bool = True,
    embeddings: Sequence[EmbeddingSpec] = (),
    has_embedding_readout: bool = False,
    latent_ewald: LatentEwald | None = None,
) -> MaceModel:
    """Return a MACE model with seeded random weights and the same structure as a mace-torch model.

    Parameters
    ----------
    elements
        Symbols or atomic numbers in the order of the model's element table.
    hidden_irreps
        Node features between layers, with the same number of channels for all irreps; the last layer keeps the first.
    correlation
        Correlation order, or one order per layer.
    cutoff
        Cutoff in angstrom.
    cutoff_on
        ``basis`` or ``weights``, see `RadialSpec`.
    radial_widths
        Hidden widths of the radial MLP.
    readout_irreps
        Hidden irreps of the last readout; a one-layer model has only a linear readout.
    interaction
        mace-torch name of the interaction block of each layer; the last entry of a shorter sequence is repeated.
    avg_num_neighbors
        Divisor of the messages; the default is small, so that distant atoms and high orders matter.
    dtype
        Precision of the weights, ``float64`` or ``float32``.
    pair_repulsion
        Whether to add the pair repulsion of nuclei closer than the sum of their covalent radii.
    heads
        Names of the heads; each has its own energies of isolated atoms, scale, shift and readouts.
    gate
        Gate of the last readout.
    has_last_readout_only
        Whether only the last layer has a readout.
    has_biased_readout
        Whether the last readout has two hidden layers and biases.
    distance_transform
        ``Agnesi``, ``Soft`` or None, see `RadialSpec`.
    edge_irreps
        Neighbour features that enter the tensor product of every layer but the first; None for the node features.
    is_product_by_element
        Whether the weights of the products depend on the element.
    embeddings, has_embedding_readout
        Embeddings of the total charge and spin, and whether they have a readout.
    latent_ewald
        Long-range energy of latent charges, with a readout of charges beside each readout of energies.

    Returns
    -------
    MaceModel
        Spec and weights; ``source_name`` is ``random-SEED``.
    """
    numbers = tuple(number_of_symbol[e] if isinstance(e, str) else int(e) for e in elements)
    spec = ModelSpec(
        model_class=model_class,
        atomic_numbers=numbers,
        heads=tuple(heads),
        cutoff=float(cutoff),
        l_max=l_max,
        radial=RadialSpec(n_basis, cutoff_power, cutoff_on, distance_transform),
        irreps_embedding=f"{o3.Irreps(hidden_irreps).count('0e')}x0e",
        layers=_layers(
            o3.Irreps(hidden_irreps),
            l_max,
            _per_layer(correlation, n_layers),
            _per_layer(interaction, n_layers),
            tuple(radial_widths),
            str(o3.Irreps([(mul * len(heads), ir) for mul, ir in o3.Irreps(readout_irreps)])),
            avg_num_neighbors,
            None if edge_irreps is None else o3.Irreps(edge_irreps),
        ),
        dtype=dtype,
        is_product_by_element=is_product_by_element,
        embeddings=tuple(embeddings),
        has_embedding_readout=has_embedding_readout,
        latent_ewald=latent_ewald,
        pair_repulsion=PairRepulsionSpec(cutoff_power) if pair_repulsion else None,
    )
    *before, last = spec.layers
    if has_last_readout_only:
        before = [replace(layer, readout=None) for layer in before]
    if last.readout.kind == "nonlinear":
        kind = "biased" if has_biased_readout else "nonlinear"
        last = replace(last, readout=replace(last.readout, activation=gate, kind=kind))
    spec = replace(spec, layers=(*before, last))
    return MaceModel(
        spec=spec, weights=_random_weights(spec, seed), source_sha256=f"{seed:064x}", source_name=f"random-{seed}"
    )


def _per_layer(value: int | str | Sequence[int] | Sequence[str], n_layers: int) -> list:
    values = [value] if isinstance(value, int | str) else list(value)
    return (values + values[-1:] * n_layers)[:n_layers]


def _layers(
    hidden: o3.Irreps,
    l_max: int,
    correlations: list[int],
    interactions: list[str],
    radial_widths: tuple[int, ...],
    readout_irreps: str,
    avg_num_neighbors: float,
    edge: o3.Irreps | None,
) -> tuple[LayerSpec, ...]:
    n_channels, n_layers = hidden.count("0e"), len(correlations)
    natural = [o3.Irrep(order, (-1) ** order) for order in range(l_max + 1)]
    every = sorted({o3.Irrep(order, parity) for order in range(l_max + 1) for parity in (1, -1)})
    layers = []
    for t in range(n_layers):
        is_last = t == n_layers - 1
        irreps_in = o3.Irreps([(n_channels, "0e")]) if t == 0 else hidden
        kinds = every if t > 0 and hidden.count("0o") > 0 else natural
        message = o3.Irreps([(n_channels, ir) for ir in kinds])
        irreps_edge = irreps_in if edge is None or t == 0 else edge
        mid, paths = _convolution(irreps_edge, l_max, kinds)
        nonlinear = is_last and n_layers > 1
        layers.append(
            LayerSpec(
                interaction=interactions[t],
                irreps_in=str(irreps_in),
                irreps_edge=str(irreps_edge),
                irreps_mid=str(mid),
                irreps_message=str(message),
                irreps_out=str(o3.Irreps([hidden[0]]) if is_last else hidden),
                paths=paths,
                correlation=correlations[t],
                radial_widths=radial_widths,
                radial_activation_scale=_SILU_SCALE,
                avg_num_neighbors=avg_num_neighbors,
                readout=ReadoutSpec(
                    kind="nonlinear" if nonlinear else "linear",
                    irreps_hidden=readout_irreps if nonlinear else None,
                    activation_scale=_SILU_SCALE if nonlinear else None,
                ),
            )
        )
    return tuple(layers)


def _convolution(
    irreps_in: o3.Irreps, l_max: int, kinds: list[o3.Irrep]
) -> tuple[o3.Irreps, tuple[tuple[int, int, int], ...]]:
    """Return the outputs of the tensor product, sorted by irrep, and its paths in the order of the outputs."""
    found = [
        (out, i, order)
        for i, (_, ir) in enumerate(irreps_in)
        for order in range(l_max + 1)
        for out in ir * o3.Irrep(order, (-1) ** order)
        if out in kinds
    ]
    found.sort(key=lambda path: path[0])
    mid = o3.Irreps([(irreps_in[i].mul, out) for out, i, _ in found])
    return mid, tuple((i, order, k) for k, (_, i, order) in enumerate(found))


def _random_weights(spec: ModelSpec, seed: int) -> dict[str, NDArray[np.generic]]:
    rng = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.generic]] = {
        "atomic_energies_fn.atomic_energies": rng.uniform(-5.0, -1.0, (len(spec.heads), len(spec.atomic_numbers))),
        "radial_embedding.bessel_fn.bessel_weights": np.pi / spec.cutoff * np.arange(1, spec.radial.n_basis + 1),
        "radial_embedding.bessel_fn.prefactor": np.array(np.sqrt(2.0 / spec.cutoff)),
    }
    is_scaled = spec.model_class == "ScaleShiftMACE"
    numbers = np.arange(len(spec.heads))
    weights["scale_shift.scale"] = 0.8 + 0.3 * numbers if is_scaled else np.ones(len(numbers))
    weights["scale_shift.shift"] = 0.1 - 0.2 * numbers if is_scaled else np.zeros(len(numbers))
    if spec.pair_repulsion is not None:
        weights |= _REPULSION
    if spec.radial.distance_transform is not None:
        names = (*TRANSFORM_PARAMETERS[spec.radial.distance_transform], "covalent_radii")
        weights |= {f"radial_embedding.distance_transform.{name}": _TRANSFORM[name] for name in names}
    for name, shape in _trained_shapes(spec):
        weights[name] = rng.normal(size=shape) / (shape[1] ** 0.5 if ".symmetric_contractions." in name else 1)
        if name.endswith((".alpha", ".beta")):  # the divisor of a message must not come near zero
            weights[name] = 0.5 + np.abs(weights[name])
    for t, layer in enumerate(spec.layers, start=1):
        weights |= _couplings(f"{weights_of('products', t)}.symmetric_contractions.contractions", layer)
    return {name: np.array(array, dtype=spec.dtype, order="C") for name, array in weights.items()}


def _trained_shapes(spec: ModelSpec) -> Iterator[tuple[str, tuple[int, ...]]]:
    n_elements = len(spec.atomic_numbers)
    n_rows = n_elements if spec.is_product_by_element else 1
    elements = o3.Irreps([(n_elements, "0e")])
    yield "node_embedding.linear.weight", (_linear_size(elements, o3.Irreps(spec.irreps_embedding)),)
    yield from embedding_shapes(spec)
    for t, layer in enumerate(spec.layers, start=1):
        message, out = o3.Irreps(layer.irreps_message), o3.Irreps(layer.irreps_out)
        yield from block_of(layer.interaction).weight_shapes(spec, layer, weights_of("interactions", t))
        for k, (mul, ir) in enumerate(out):
            prefix = f"{weights_of('products', t)}.symmetric_contractions.contractions.{k}"
            for order in range(1, layer.correlation + 1):
                n_paths = coupling_tensor(_kinds(message), str(ir), order).shape[-1]
                yield f"{prefix}.{order_weight(layer, order)}", (n_rows, n_paths, mul)
        yield f"{weights_of('products', t)}.linear.weight", (_linear_size(out, out),)
        if layer.readout is not None:
            yield from _readout_shapes(weights_of("readouts", t), layer, out, len(spec.heads))
            if spec.latent_ewald is not None:
                yield from _readout_shapes(weights_of(CHARGE_READOUTS, t), layer, out, len(spec.heads))


def _readout_shapes(
    prefix: str, layer: LayerSpec, out: o3.Irreps, n_heads: int
) -> Iterator[tuple[str, tuple[int, ...]]]:
    widths = [o3.Irreps(text) for text in layer.readout.widths(str(out), n_heads)]
    for number, (name, (given, wanted)) in enumerate(zip(layer.readout.maps, pairwise(widths), strict=True)):
        yield f"{prefix}.{name}.weight", (_linear_size(given, wanted),)
        if layer.readout.kind == "biased" and number > 0:
            yield f"{prefix}.{name}.bias", (wanted.dim,)


def _linear_size(irreps_in: o3.Irreps, irreps_out: o3.Irreps) -> int:
    return sum(a * b for a, ir_in in irreps_in for b, ir_out in irreps_out if ir_in == ir_out)


def _kinds(irreps: o3.Irreps) -> tuple[str, ...]:
    return tuple(str(ir) for _, ir in irreps)


def _couplings(prefix: str, layer: LayerSpec) -> dict[str, NDArray[np.float64]]:
    kinds = _kinds(o3.Irreps(layer.irreps_message))
    return {
        f"{prefix}.{k}.U_matrix_{order}": coupling_tensor(kinds, str(ir), order)
        for k, (_, ir) in enumerate(o3.Irreps(layer.irreps_out))
        for order in range(1, layer.correlation + 1)
    }


@lru_cache(maxsize=64)
def coupling_tensor(kinds: tuple[str, ...], kind_out: str, order: int) -> NDArray[np.float64]:
    """Return all couplings of ``order`` copies of the irreps ``kinds`` to ``kind_out``, as chains from the left.

    Parameters
    ----------
    kinds
        Irreps of one channel in storage order.
    kind_out
        Irrep of the result.
    order
        Number of factors.

    Returns
    -------
    ndarray
        Coupling coefficients, shape (n, ..., n, n_paths), with a leading axis of size 2 l + 1 for l > 0; n is the
        number of components of ``kinds``. The chains are not symmetrised and therefore redundant, as in mace-torch
        without cuequivariance. If nothing couples, there is one path of zeros.
    """
    factors, target = [o3.Irrep(kind) for kind in kinds], o3.Irrep(kind_out)
    starts = np.cumsum([0] + [ir.dim for ir in factors])
    n = int(starts[-1])
    chains = [(ir, np.eye(n)[start : start + ir.dim]) for ir, start in zip(factors, starts, strict=False)]
    for step in range(1, order):
        reachable = _reachable(factors, target, order - 1 - step)
        longer = []
        for left, tensor in chains:
            for ir, start in zip(factors, starts, strict=False):
                for out in left * ir:
                    if out in reachable:
                        block = np.einsum("m...,mab->b...a", tensor, _wigner(left.l, ir.l, out.l))
                        wide = np.zeros((*block.shape[:-1], n))
                        wide[..., start : start + ir.dim] = block
                        longer.append((out, wide))
        chains = longer
    found = [tensor for ir, tensor in chains if ir == target]
    stacked = np.stack(found or [np.zeros((target.dim, *[n] * order))], axis=-1)
    return stacked[0] if target.l == 0 else stacked


def _reachable(factors: list[o3.Irrep], target: o3.Irrep, steps: int) -> set[o3.Irrep]:
    """Return the irreps that can reach ``target`` with ``steps`` more factors."""
    reachable = {target}
    for _ in range(steps):
        reachable = {ir for last in reachable for factor in factors for ir in last * factor}
    return reachable


@lru_cache(maxsize=256)
def _wigner(l_left: int, l_right: int, l_out: int) -> NDArray[np.float64]:
    coupling = o3.wigner_3j(l_left, l_right, l_out, dtype=torch.float64).numpy()
    return coupling * np.sqrt(2 * l_out + 1)
