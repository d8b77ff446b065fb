"""Validation of a spec and of the shapes of its weights, for every file format."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.irreps import Entry, linear_size, parse_irreps
from mlip_lammps.families.mace.embeddings import embedding_shapes, global_inputs
from mlip_lammps.families.mace.interactions import block_of
from mlip_lammps.families.mace.spec import (
    BASIS_ARRAYS,
    CHARGE_READOUTS,
    EMBEDDED_INPUTS,
    TRANSFORM_PARAMETERS,
    ZBL_EXPONENTS,
    LayerSpec,
    MaceModel,
    ModelSpec,
    weights_of,
)
from mlip_lammps.structure.latent_ewald import LatentEwald

Irreps = tuple[Entry, ...]

_HIGHEST_POLYNOMIAL = 100
"""Highest order of a Chebyshev polynomial."""
_TRANSFORM = "radial_embedding.distance_transform"


def check_model(trained: MaceModel) -> None:
    """Raise unless the spec is consistent and every weight exists, is finite and has the expected shape.

    Raises
    ------
    ModelFileError
        If a check fails; the message names the first failure.
    UnsupportedModelError
        If a layer with a readout has no scalars.
    """
    spec, name = trained.spec, trained.source_name
    check_spec(spec, name)
    for t, layer in enumerate(spec.layers, start=1):
        has_scalars = any((one.order, one.parity) == (0, 1) for one in parse_irreps(layer.irreps_out))
        if layer.readout is not None and not has_scalars:
            raise UnsupportedModelError(
                f"layer {t} of {name} has the features {layer.irreps_out}, without scalars, so that its readout is "
                "always zero; train with hidden_irreps that begin with scalars, such as 8x0e+8x1o"
            )
    for key, shape in weight_shapes(spec):
        array = trained.weights.get(key)
        if array is None:
            raise ModelFileError(f"{name} lacks the weight {key}; copy or save the model again")
        # The numbers of couplings and of covalent radii are free; the rest of the shape must match.
        fits = len(array.shape) == len(shape) and all(b in (None, a) for a, b in zip(array.shape, shape, strict=True))
        if not fits:
            expected = "x".join("any" if n is None else str(n) for n in shape)
            raise ModelFileError(
                f"{key} of {name} has shape {'x'.join(map(str, array.shape))}, expected {expected}; "
                "copy or save the model again"
            )
        # Some arrays of a float32 model may be float64 and the other way round: all are used with the digits they have.
        if array.dtype not in (np.float32, np.float64):
            raise ModelFileError(
                f"{key} of {name} is {array.dtype}, expected float32 or float64; give the model that was saved before "
                "its conversion"
            )
        if not np.isfinite(array).all():
            raise ModelFileError(f"{key} of {name} has values that are not finite: training failed; train again")
    if spec.radial.basis == "chebyshev":
        name_of_orders = f"radial_embedding.bessel_fn.{BASIS_ARRAYS['chebyshev'][0]}"
        check_orders(trained.weights[name_of_orders], name)
    _check_couplings(trained)
    _check_pair_repulsion(trained)
    _check_distance_transform(trained)


def check_spec(spec: ModelSpec, name: str) -> None:
    """Raise ``ModelFileError`` unless ``spec`` is consistent."""
    numbers, heads = " ".join(map(str, spec.atomic_numbers)) or "none", " ".join(spec.heads) or "none"
    faults = [
        (bool(spec.atomic_numbers) and all(0 < z < 119 for z in spec.atomic_numbers), f"atomic numbers {numbers}"),
        (len(set(spec.atomic_numbers)) == len(spec.atomic_numbers), f"an atomic number twice in {numbers}"),
        (np.isfinite(spec.cutoff) and 0 < spec.cutoff < 1e3, "its cutoff"),
        (0 <= spec.l_max <= 12, "its l_max"),
        (1 <= spec.radial.n_basis <= 10_000, "its radial basis"),
        (1 <= spec.radial.cutoff_power <= 1000, "the power of its cutoff"),
        (spec.radial.basis in BASIS_ARRAYS, "its radial basis"),
        (spec.radial.cutoff_on in ("basis", "weights"), "its cutoff"),
        (spec.radial.distance_transform in (None, *TRANSFORM_PARAMETERS), "its distance transform"),
        (spec.dtype in ("float32", "float64"), "its precision"),
        (len(set(spec.heads)) == len(spec.heads) >= 1, f"a head twice in {heads}"),
        (spec.n_layers >= 1, "its layers"),
        (spec.pair_repulsion is None or 1 <= spec.pair_repulsion.cutoff_power <= 1000, "its pair repulsion"),
        (spec.latent_ewald is None or _is_sound(spec.latent_ewald), "its latent Ewald summation"),
    ]
    faults.extend(_embedding_faults(spec))
    irreps = parse_irreps(spec.irreps_embedding)
    for t, layer in enumerate(spec.layers, start=1):
        faults.append((parse_irreps(layer.irreps_in) == irreps, f"the input of layer {t}"))
        faults.extend(_layer_faults(spec, layer, f"layer {t}"))
        irreps = parse_irreps(layer.irreps_out)
    for is_sound, what in faults:
        if not is_sound:
            raise ModelFileError(
                f"{name} has an invalid value: {what}; copy the file again, or correct the model and save it again"
            )


def _is_sound(ewald: LatentEwald) -> bool:
    numbers = ewald.sigma, ewald.resolution, ewald.strength
    are_positive = all(isinstance(one, int | float) and np.isfinite(one) and one > 0.0 for one in numbers)
    return are_positive and type(ewald.has_self_interaction) is bool


def _embedding_faults(spec: ModelSpec) -> Iterator[tuple[bool, str]]:
    names = [one.name for one in spec.embeddings]
    are_known = len(set(names)) == len(names) and all(name in EMBEDDED_INPUTS for name in names)
    yield are_known, "the names of its embeddings"
    yield not spec.has_embedding_readout or bool(names), "a readout of embeddings that it lacks"
    for one in spec.embeddings:
        is_table, has_classes = one.kind == "categorical", one.n_classes is not None
        yield is_table or one.kind == "continuous", f"the kind of embedding of {one.name}"
        yield 0 < one.width < 10**6, f"the width of the embedding of {one.name}"
        yield has_classes == is_table and (not is_table or 0 < one.n_classes < 10**6), f"the classes of {one.name}"
        are_known = are_known and has_classes == is_table
    if are_known:
        for one in global_inputs(spec):
            is_inside = one.lowest is None or one.lowest <= one.default <= one.highest
            yield is_inside, f"the embedding of {one.name}, which lacks the default {one.default:g}"


def _layer_faults(spec: ModelSpec, layer: LayerSpec, label: str) -> Iterator[tuple[bool, str]]:
    edge, mid, message, out = (
        parse_irreps(text) for text in (layer.irreps_edge, layer.irreps_mid, layer.irreps_message, layer.irreps_out)
    )
    n_channels = message[0].mul
    shown = f"{layer.irreps_message} to {layer.irreps_out}"
    yield all(entry.mul == n_channels > 0 for entry in (*message, *out)), f"the channels of {label}, {shown}"
    yield 1 <= layer.correlation <= 8, f"the correlation of {label}"
    is_positive = np.isfinite(layer.avg_num_neighbors) and layer.avg_num_neighbors > 0
    yield bool(is_positive), f"avg_num_neighbors of {label}"
    yield len({k for _, _, k in layer.paths}) == len(mid) == len(layer.paths) > 0, f"the paths of {label}"
    parity = 1 if spec.has_even_harmonics else -1
    yield all(_is_path(path, edge, mid, spec.l_max, parity) for path in layer.paths), f"a path of {label}"
    yield all(0 < n < 10**6 for n in layer.radial_widths), f"the MLP of {label}"
    if layer.readout is not None:
        is_nonlinear = layer.readout.kind in ("nonlinear", "biased")
        yield is_nonlinear or layer.readout.kind == "linear", f"the readout of {label}"
        yield (layer.readout.irreps_hidden is not None) == is_nonlinear, f"the readout of {label}"
        yield (layer.readout.activation_scale is not None) == is_nonlinear, f"the readout of {label}"
        yield layer.readout.activation in ("silu", "tanh", "abs", "identity"), f"the readout of {label}"
        hidden = parse_irreps(layer.readout.irreps_hidden) if is_nonlinear and layer.readout.irreps_hidden else ()
        are_scalars = all(entry.kind == (0, 1) for entry in hidden) and len(hidden) == int(is_nonlinear)
        yield are_scalars and sum(entry.mul for entry in hidden) % len(spec.heads) == 0, f"the readout of {label}"


def _is_path(path: tuple[int, int, int], edge: Irreps, mid: Irreps, l_max: int, parity: int) -> bool:
    i, order, k = path
    if not (0 <= i < len(edge) and 0 <= order <= l_max and 0 <= k < len(mid)):
        return False
    a, b = edge[i], mid[k]
    is_coupled = abs(a.order - order) <= b.order <= a.order + order and b.parity == a.parity * parity**order
    return a.mul == b.mul and is_coupled


def weight_shapes(spec: ModelSpec) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    """Yield the name and shape of every weight of ``spec``; None means any size."""
    n_elements = len(spec.atomic_numbers)
    yield "atomic_energies_fn.atomic_energies", (len(spec.heads), n_elements)
    yield "scale_shift.scale", (len(spec.heads),)
    yield "scale_shift.shift", (len(spec.heads),)
    numbers, factor = BASIS_ARRAYS[spec.radial.basis]
    yield f"radial_embedding.bessel_fn.{numbers}", (spec.radial.n_basis,)
    if factor is not None:
        yield f"radial_embedding.bessel_fn.{factor}", ()
    if spec.radial.distance_transform is not None:
        for name in TRANSFORM_PARAMETERS[spec.radial.distance_transform]:
            yield f"{_TRANSFORM}.{name}", ()
        yield f"{_TRANSFORM}.covalent_radii", (None,)
    embedding = linear_size((Entry(n_elements, 0, 1),), parse_irreps(spec.irreps_embedding))
    yield "node_embedding.linear.weight", (embedding,)
    yield from embedding_shapes(spec)
    if spec.pair_repulsion is not None:
        yield "pair_repulsion_fn.c", (len(ZBL_EXPONENTS),)
        yield "pair_repulsion_fn.a_exp", ()
        yield "pair_repulsion_fn.a_prefactor", ()
        yield "pair_repulsion_fn.covalent_radii", (None,)
    for t, layer in enumerate(spec.layers, start=1):
        yield from _layer_shapes(spec, layer, t)


def _layer_shapes(spec: ModelSpec, layer: LayerSpec, t: int) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    n_rows = len(spec.atomic_numbers) if spec.is_product_by_element else 1
    message, out = parse_irreps(layer.irreps_message), parse_irreps(layer.irreps_out)
    yield from block_of(layer.interaction).weight_shapes(spec, layer, weights_of("interactions", t))
    yield f"{weights_of('products', t)}.linear.weight", (linear_size(out, out),)
    n_components = sum(entry.dim for entry in message)
    for k, entry in enumerate(out):
        prefix = f"{weights_of('products', t)}.symmetric_contractions.contractions.{k}"
        rows = () if entry.order == 0 else (entry.dim,)
        for order in range(1, layer.correlation + 1):
            yield f"{prefix}.U_matrix_{order}", (*rows, *[n_components] * order, None)
            yield f"{prefix}.{order_weight(layer, order)}", (n_rows, None, entry.mul)
    if layer.readout is not None:
        yield from _readout_shapes(spec, layer, weights_of("readouts", t))
        if spec.latent_ewald is not None:
            yield from _readout_shapes(spec, layer, weights_of(CHARGE_READOUTS, t))


def _readout_shapes(spec: ModelSpec, layer: LayerSpec, prefix: str) -> Iterator[tuple[str, tuple[int | None, ...]]]:
    widths = [parse_irreps(text) for text in layer.readout.widths(layer.irreps_out, len(spec.heads))]
    for number, (name, (given, wanted)) in enumerate(zip(layer.readout.maps, pairwise(widths), strict=True)):
        yield f"{prefix}.{name}.weight", (linear_size(given, wanted),)
        if layer.readout.kind == "biased" and number > 0:
            yield f"{prefix}.{name}.bias", (sum(entry.mul for entry in wanted),)


def order_weight(layer: LayerSpec, order: int) -> str:
    """Return mace-torch's name of the weights of one correlation order; it lists orders from the highest down."""
    return "weights_max" if order == layer.correlation else f"weights.{layer.correlation - order - 1}"


def check_orders(orders: NDArray[np.generic], name: str) -> None:
    """Raise ``ModelFileError`` unless these are orders of Chebyshev polynomials."""
    if not orders.size or not np.isin(orders, np.arange(_HIGHEST_POLYNOMIAL + 1)).all():
        raise ModelFileError(
            f"{name} has the orders {orders.tolist()}, expected whole numbers from 0 to {_HIGHEST_POLYNOMIAL}: the "
            "file is damaged; copy it again"
        )


def _check_couplings(trained: MaceModel) -> None:
    for t, layer in enumerate(trained.spec.layers, start=1):
        for k in range(len(parse_irreps(layer.irreps_out))):
            prefix = f"{weights_of('products', t)}.symmetric_contractions.contractions.{k}"
            for order in range(1, layer.correlation + 1):
                coupling, weight = f"{prefix}.U_matrix_{order}", f"{prefix}.{order_weight(layer, order)}"
                n_couplings, n_weights = trained.weights[coupling].shape[-1], trained.weights[weight].shape[1]
                if n_couplings != n_weights:
                    raise ModelFileError(
                        f"{coupling} of {trained.source_name} has {n_couplings} couplings and {n_weights} weights, "
                        "expected equal numbers; copy or save the model again"
                    )


def _check_pair_repulsion(trained: MaceModel) -> None:
    if trained.spec.pair_repulsion is not None:
        _check_radii(trained, "pair_repulsion_fn.covalent_radii")
        _check_positive(trained, "pair_repulsion_fn.a_prefactor")


def _check_distance_transform(trained: MaceModel) -> None:
    kind = trained.spec.radial.distance_transform
    if kind is not None:
        _check_radii(trained, f"{_TRANSFORM}.covalent_radii")
        for name in TRANSFORM_PARAMETERS[kind]:
            _check_positive(trained, f"{_TRANSFORM}.{name}")


def _check_radii(trained: MaceModel, name: str) -> None:
    radii, numbers = trained.weights[name], trained.spec.atomic_numbers
    if len(radii) <= max(numbers) or min(radii[z] for z in numbers) <= 0:
        raise ModelFileError(
            f"{name} of {trained.source_name} has {len(radii)} entries, expected a positive radius for every element "
            f"of the model up to atomic number {max(numbers)}; copy or save the model again"
        )


def _check_positive(trained: MaceModel, name: str) -> None:
    if trained.weights[name] <= 0:
        raise ModelFileError(
            f"{name} of {trained.source_name} is {trained.weights[name]}, expected a positive value; copy or save the "
            "model again"
        )
