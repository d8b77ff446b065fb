"""Shapes of the weights of a trained model, checked when it is read. This module does not import torch."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.gated.spec import GatedModel, LinearSpec
from mlip_lammps.families.irreps import linear_size, parse_irreps

Shape = tuple[int, ...]


def check_weights(trained: GatedModel) -> None:
    """Raise unless every weight exists, has the expected shape and is finite.

    Raises
    ------
    ModelFileError
        If a check fails; the message names the first failure.
    """
    name = trained.source_name
    for key, shapes in weight_shapes(trained):
        array = trained.weights.get(key)
        if array is None:
            raise ModelFileError(f"{name} lacks the weight {key}; copy the file again")
        if array.shape not in shapes:
            expected = " or ".join("x".join(map(str, shape)) or "one number" for shape in shapes)
            raise ModelFileError(
                f"{key} of {name} has shape {'x'.join(map(str, array.shape))}, expected {expected}; copy the file again"
            )
    for key, array in trained.weights.items():
        if array.dtype not in (np.float32, np.float64):
            raise ModelFileError(f"{key} of {name} is {array.dtype}, expected float32 or float64; save the model again")
        if not np.isfinite(array).all():
            raise ModelFileError(f"{key} of {name} has values that are not finite: training failed; train again")
    if not all((trained.weights[f"layers.{t}.denominator"] > 0).all() for t in range(trained.n_layers)):
        raise ModelFileError(f"a denominator of {name} is not positive; copy the file again")
    reaches = trained.weights.get("pair_cutoffs")
    if reaches is not None and not ((reaches > 0) & (reaches <= trained.cutoff * (1 + 1e-12))).all():
        raise ModelFileError(
            f"a cutoff of a pair of {name} is not between 0 and {trained.cutoff} angstrom; copy the file again"
        )


def weight_shapes(trained: GatedModel) -> Iterator[tuple[str, tuple[Shape, ...]]]:
    """Yield the name of each weight and the shapes that it may have."""
    spec, n_elements = trained.spec, len(trained.atomic_numbers)
    by_element: tuple[Shape, ...] = ((n_elements,),)
    if spec.modals:
        by_element = (*by_element, (len(spec.modals), n_elements))
    yield "shift", by_element
    yield "scale", by_element
    yield "wave_numbers", ((spec.radial.n_basis,),)
    if spec.has_pair_cutoffs:
        yield "pair_cutoffs", ((n_elements, n_elements),)
    maps = [spec.embedding, *spec.readout]
    for t, layer in enumerate(spec.layers):
        maps += [layer.up, layer.message]
        yield f"layers.{t}.denominator", ((), (n_elements,))
        irreps_in, gate_in = parse_irreps(layer.irreps_in), parse_irreps(layer.gate.irreps_in)
        size = linear_size(irreps_in, gate_in) * (n_elements if layer.self_connection == "element" else 1)
        if layer.self_connection != "none":
            yield f"layers.{t}.self_connection.weight", ((size,),)
        n_weights = sum(irreps_in[i].mul for i, _, _ in layer.paths)
        widths = [spec.radial.n_basis, *layer.radial_widths, n_weights]
        for k, shape in enumerate(pairwise(widths)):
            yield f"layers.{t}.radial.{k}.weight", (shape,)
    for one in maps:
        yield f"{one.name}.weight", ((linear_size(parse_irreps(one.full_irreps_in), parse_irreps(one.irreps_out)),),)
        if one.has_bias:
            yield f"{one.name}.bias", ((bias_size(one),),)
    for key in trained.weights:
        if key.startswith("couplings."):
            orders = [int(order) for order in key.removeprefix("couplings.").split("_")]
            yield key, (tuple(2 * order + 1 for order in orders),)


def bias_size(one: LinearSpec) -> int:
    """Return the number of biases: those of the even scalars of the result."""
    return sum(entry.mul for entry in parse_irreps(one.irreps_out) if entry.kind == (0, 1))

