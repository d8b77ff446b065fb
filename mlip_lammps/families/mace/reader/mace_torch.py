"""Conversion of a model saved by mace-torch to a spec and weights."""

import hashlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive
from mlip_lammps.families.checkpoints.identify import dictionary_refusal, unwrap
from mlip_lammps.families.checkpoints.pickle_reader import Record
from mlip_lammps.families.irreps import Entry, format_irreps, parse_irreps
from mlip_lammps.families.mace.interactions import block_names, block_of
from mlip_lammps.families.mace.reader import checks, validation
from mlip_lammps.families.mace.reader.couplings import stored_couplings, trained_precision
from mlip_lammps.families.mace.reader.cuequivariance import require_one_layout
from mlip_lammps.families.mace.reader.embedding import read_embeddings
from mlip_lammps.families.mace.reader.latent_ewald import read_latent_ewald
from mlip_lammps.families.mace.reader.module import Module
from mlip_lammps.families.mace.reader.names import MODELS, allowed_names
from mlip_lammps.families.mace.spec import (
    BASIS_ARRAYS,
    CHARGE_READOUTS,
    OLDER_ZBL_SCREENING,
    TRANSFORM_PARAMETERS,
    LayerSpec,
    MaceModel,
    ModelSpec,
    PairRepulsionSpec,
    RadialSpec,
    ReadoutSpec,
    couplings_of,
    weights_of,
)

Weights = dict[str, NDArray[np.generic]]
_READOUTS = {
    "LinearReadoutBlock": "linear",
    "NonLinearReadoutBlock": "nonlinear",
    "NonLinearBiasReadoutBlock": "biased",
}
"""Kinds of readouts by their class in mace-torch."""
_BASES = {"BesselBasis": "bessel", "GaussianBasis": "gaussian", "ChebychevBasis": "chebyshev"}
"""Kinds of radial bases by their class in mace-torch."""


def read_mace_torch(path: Path) -> MaceModel:
    """Read a file that mace-torch wrote with ``torch.save(model, path)``, without running its content.

    Raises
    ------
    ModelFileError
        If the file is not such a file or is damaged.
    UnsupportedModelError
        If the model has a feature that the spec cannot represent; the message names the feature.
    """
    weights: Weights = {}
    with TorchArchive(path, allowed_names()) as archive:
        root = unwrap(archive.root())
        _check_root(root, path)
        try:
            spec = _model_spec(Module(root, archive, ""), weights)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise ModelFileError(f"{path} is damaged ({error}); copy or save the model again") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return MaceModel(spec=spec, weights=weights, source_sha256=digest, source_name=path.name)


def _check_root(root: Any, path: Path) -> None:
    if isinstance(root, dict):
        raise ModelFileError(dictionary_refusal(path, root))
    if not isinstance(root, Record):
        raise ModelFileError(
            f"{path} contains a {type(root).__name__}, expected a model; give the .model file that training wrote"
        )
    if root.name not in MODELS:
        raise UnsupportedModelError(
            f"{path} contains a {root.name}, but this package supports MACE, ScaleShiftMACE and MACELES; use one of "
            "these"
        )


def _model_spec(model: Module, weights: Weights) -> ModelSpec:
    """Return the spec and store the weights in ``weights``."""
    heads = model.attribute("heads", None) or ("Default",)
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    if not all(type(head) is str for head in heads):
        raise ModelFileError(f"the heads of {model.source} are not strings; copy or save the model again")
    numbers = model.array("atomic_numbers")
    interactions, products = model.child("interactions").children(), model.child("products").children()
    readouts: list[Module | None] = [*model.child("readouts").children()]
    if model.attribute("use_last_readout_only", False) and len(readouts) == 1:
        readouts = [None] * (len(interactions) - 1) + readouts
    if not readouts:
        raise UnsupportedModelError(
            f"{model.source} has no readout, so that its energy does not depend on positions; train without "
            "use_last_readout_only, or with two or more layers"
        )
    if not len(interactions) == len(products) == len(readouts) >= 1:
        raise UnsupportedModelError(
            f"{model.source} has {len(interactions)} interactions, {len(products)} products and {len(readouts)} "
            "readouts, expected one of each per layer; copy or save the model again"
        )
    radial, cutoff = _radial_spec(model, weights)
    embedding = model.child("node_embedding").child("linear")
    embedding_in, irreps_embedding = checks.linear(embedding)
    checks.require(embedding_in == f"{numbers.size}x0e", embedding, "irreps_in", embedding_in)
    weights["node_embedding.linear.weight"] = embedding.array("weight")
    harmonics = checks.spherical_harmonics(model.child("spherical_harmonics"))
    layers = tuple(
        _layer(harmonics, numbers.size, interaction, product, weights)
        for interaction, product in zip(interactions, products, strict=True)
    )
    layers = tuple(
        layer if readout is None else replace(layer, readout=_readout(readout, t, layer, len(heads), weights))
        for t, (layer, readout) in enumerate(zip(layers, readouts, strict=True), start=1)
    )
    couplings = _couplings(layers, interactions, weights)
    latent_ewald = read_latent_ewald(model)
    if latent_ewald is not None:
        _charge_readouts(model, layers, readouts, len(heads), weights)
    _energy_constants(model, len(heads), weights)
    repulsion = _pair_repulsion(model, weights)
    embeddings, has_embedding_readout = read_embeddings(model, irreps_embedding, len(heads), weights)
    return ModelSpec(
        model_class=model.class_name,
        atomic_numbers=tuple(int(number) for number in numbers.reshape(-1)),
        heads=heads,
        cutoff=cutoff,
        l_max=len(harmonics) - 1,
        radial=radial,
        irreps_embedding=irreps_embedding,
        layers=layers,
        dtype=trained_precision(str(embedding.precision("weight")), couplings),
        pair_repulsion=repulsion,
        has_even_harmonics=len(harmonics) > 1 and harmonics[1].parity == 1,
        is_product_by_element=not _is_agnostic(products),
        embeddings=embeddings,
        has_embedding_readout=has_embedding_readout,
        latent_ewald=latent_ewald,
    )


def _is_agnostic(products: list[Module]) -> bool:
    """Return whether the weights of all products have one row in place of one for each element."""
    found = {bool(product.attribute("use_agnostic_product", False)) for product in products}
    checks.require(len(found) == 1, products[0], "use_agnostic_product", "not the same in all layers")
    return found.pop()


def _radial_spec(model: Module, weights: Weights) -> tuple[RadialSpec, float]:
    block = model.child("radial_embedding")
    basis, cutoff = block.child("bessel_fn"), block.child("cutoff_fn")
    kind = _BASES.get(basis.class_name)
    if kind is None:
        basis.require_class("BesselBasis")
    cutoff.require_class("PolynomialCutoff")
    numbers, factor = BASIS_ARRAYS[kind]
    weights[f"{basis.path}.{numbers}"] = basis.array(numbers).reshape(-1)
    if kind == "chebyshev":
        validation.check_orders(weights[f"{basis.path}.{numbers}"], basis.label)
        weights[f"{basis.path}.{numbers}"] = weights[f"{basis.path}.{numbers}"].astype(np.float64)
    if factor is not None:
        weights[f"{basis.path}.{factor}"] = np.asarray(
            basis.array(factor) if basis.has_array(factor) else basis.number(factor)
        )
    r_max = cutoff.number("r_max")
    # One of the two may have been rounded to float32; the energy depends on that of the cutoff function.
    if abs(r_max - model.number("r_max")) > 1e-6 * r_max:
        raise UnsupportedModelError(
            f"{model.source} has r_max {model.number('r_max')} in the model and {r_max} in its cutoff function, "
            "expected equal values; set both to the value of the training and save the model again"
        )
    is_on_basis = bool(block.attribute("apply_cutoff", True))
    spec = RadialSpec(
        n_basis=weights[f"{basis.path}.{numbers}"].size,
        cutoff_power=int(cutoff.number("p")),
        cutoff_on="basis" if is_on_basis else "weights",
        distance_transform=_distance_transform(block, weights),
        basis=kind,
    )
    return spec, r_max


def _distance_transform(block: Module, weights: Weights) -> str | None:
    if not block.has_child("distance_transform"):
        return None
    transform = block.child("distance_transform")
    kind = transform.class_name.removesuffix("Transform")
    if kind not in TRANSFORM_PARAMETERS:
        raise UnsupportedModelError(
            f"{transform.label} is a {transform.full_name}, which is not supported; train with distance_transform "
            f"{', '.join(TRANSFORM_PARAMETERS)} or None"
        )
    for name in (*TRANSFORM_PARAMETERS[kind], "covalent_radii"):
        weights[f"{transform.path}.{name}"] = transform.array(name)
    return kind


def _layer(
    harmonics: tuple[Entry, ...], n_elements: int, interaction: Module, product: Module, weights: Weights
) -> LayerSpec:
    if interaction.class_name not in block_names():
        raise UnsupportedModelError(
            f"{interaction.label} is a {interaction.full_name}, which is not supported; train with one of "
            f"{', '.join(block_names())}"
        )
    block = block_of(interaction.class_name)
    irreps_in, irreps_edge = checks.linear(interaction.child("linear_up"))
    convolution = interaction.child("conv_tp").between(parse_irreps(irreps_edge), harmonics)
    conv_in, irreps_mid, paths = checks.convolution(convolution, harmonics)
    checks.require(conv_in == irreps_edge, convolution, "irreps_in1", conv_in)
    irreps_message = block.read_message(interaction, irreps_mid)
    correlation, irreps_out = _product(product, irreps_message, block.needs_skip, weights)
    block.check(interaction, n_elements, irreps_in, irreps_message, irreps_out)
    radial_widths, radial_scale = block.read_radial(interaction)
    for module, name in block.arrays(interaction):
        weights[f"{module.path}.{name}"] = module.array(name)
    return LayerSpec(
        interaction=block.name,
        irreps_in=irreps_in,
        irreps_edge=irreps_edge,
        irreps_mid=irreps_mid,
        irreps_message=irreps_message,
        irreps_out=irreps_out,
        paths=paths,
        correlation=correlation,
        radial_widths=radial_widths,
        radial_activation_scale=radial_scale,
        avg_num_neighbors=interaction.number("avg_num_neighbors"),
        readout=None,
        settings=block.read(interaction),
    )


def _couplings(layers: tuple[LayerSpec, ...], interactions: list[Module], weights: Weights) -> Weights:
    """Store the couplings in the file that the layers need, and return them."""
    couplings = {}
    for t, (layer, interaction) in enumerate(zip(layers, interactions, strict=True), start=1):
        stored = stored_couplings(interaction.child("conv_tp"))
        for orders in layer.coupled_orders():
            if orders in stored:
                couplings[couplings_of(t, orders)] = stored[orders]
    weights |= couplings
    return couplings


def _product(product: Module, irreps_message: str, needs_skip: bool, weights: Weights) -> tuple[int, str]:
    """Return the correlation order and the output irreps of a symmetric contraction with its linear map."""
    product.require_class("EquivariantProductBasisBlock")
    if needs_skip and not product.attribute("use_sc", True):
        raise UnsupportedModelError(
            f"{product.label} drops the skip connection (use_sc False), which is not supported; train with use_sc True"
        )
    contraction = product.child("symmetric_contractions")
    contraction.require_class("SymmetricContraction")
    require_one_layout(product)
    irreps_in = format_irreps(contraction.irreps("irreps_in"))
    checks.require(irreps_in == irreps_message, contraction, "irreps_in", irreps_in)
    linear_in, irreps_out = checks.linear(product.child("linear"))
    irreps = format_irreps(contraction.irreps("irreps_out"))
    checks.require(linear_in == irreps_out == irreps, contraction, "irreps_out", irreps)
    weights[f"{product.path}.linear.weight"] = product.child("linear").array("weight")
    parts = contraction.child("contractions").children()
    correlations = [part.attribute("correlation") for part in parts]
    correlation = correlations[0] if correlations else None
    if not all(type(one) is int and one == correlation and 1 <= one <= 8 for one in [correlation, *correlations]):
        found = ", ".join(str(one) if type(one) is int else type(one).__name__ for one in correlations[:8])
        raise UnsupportedModelError(
            f"{contraction.label} has the correlation orders {found or 'none'}, expected one order from 1 to 8 for all "
            "outputs; train with one order per layer"
        )
    for part in parts:
        weights[f"{part.path}.weights_max"] = part.array("weights_max")
        for n in range(correlation - 1):
            weights[f"{part.path}.weights.{n}"] = part.child("weights").array(str(n))
        for order in range(1, correlation + 1):
            weights[f"{part.path}.U_matrix_{order}"] = part.array(f"U_matrix_{order}")
    return correlation, irreps_out


def _charge_readouts(
    model: Module, layers: tuple[LayerSpec, ...], readouts: list[Module | None], n_heads: int, weights: Weights
) -> None:
    """Store the weights of the readouts of the latent charges, which have the form of those of the energies."""
    with_readout = [t for t, readout in enumerate(readouts, start=1) if readout is not None]
    twins = model.child("les_readouts")
    checks.require(len(twins.children()) == len(with_readout), twins, "length", str(len(twins.children())))
    for t, twin in zip(with_readout, twins.children(), strict=True):
        layer = layers[t - 1]
        found = _readout(twin, t, layer, n_heads, weights, CHARGE_READOUTS)
        checks.require(found == layer.readout, twin, "form", "not that of the readout of the energy")


def _readout(
    readout: Module, t: int, layer: LayerSpec, n_heads: int, weights: Weights, part: str = "readouts"
) -> ReadoutSpec:
    """Return the readout of layer ``t`` and store its weights under the number of the layer."""
    kind = _READOUTS.get(readout.class_name)
    if kind is None:
        readout.require_class("NonLinearReadoutBlock")
    spec = ReadoutSpec(kind, None, None)
    if kind != "linear":
        spec = ReadoutSpec(kind, *checks.scalar_activation(readout.child("non_linearity")))
        n_masked = readout.attribute("num_heads", 1)
        checks.require(n_masked == n_heads, readout, "num_heads", str(n_masked))
    prefix = weights_of(part, t)
    widths = pairwise(spec.widths(layer.irreps_out, n_heads))
    for number, (name, expected) in enumerate(zip(spec.maps, widths, strict=True)):
        linear, has_biases = readout.child(name), kind == "biased" and number > 0
        found = checks.linear(linear, has_biases)
        checks.require(found == expected, linear, "irreps", " -> ".join(found))
        weights[f"{prefix}.{name}.weight"] = linear.array("weight")
        if has_biases:
            weights[f"{prefix}.{name}.bias"] = linear.array("bias")
    return spec


def _energy_constants(model: Module, n_heads: int, weights: Weights) -> None:
    energies = np.atleast_2d(model.child("atomic_energies_fn").array("atomic_energies"))
    weights["atomic_energies_fn.atomic_energies"] = energies
    if model.class_name == "MACE":
        weights["scale_shift.scale"] = np.ones(n_heads, dtype=energies.dtype)
        weights["scale_shift.shift"] = np.zeros(n_heads, dtype=energies.dtype)
    else:
        for name in ("scale", "shift"):
            weights[f"scale_shift.{name}"] = np.atleast_1d(model.child("scale_shift").array(name))


def _pair_repulsion(model: Module, weights: Weights) -> PairRepulsionSpec | None:
    if not model.has_child("pair_repulsion_fn"):
        model.require_absent("pair_repulsion")
        return None
    repulsion = model.child("pair_repulsion_fn")
    repulsion.require_class("ZBLBasis")
    if not repulsion.has_array("covalent_radii"):
        return _older_pair_repulsion(repulsion, model.number("r_max"), weights)
    for name in ("c", "a_exp", "a_prefactor", "covalent_radii"):
        weights[f"{repulsion.path}.{name}"] = repulsion.array(name)
    return PairRepulsionSpec(cutoff_power=int(repulsion.number("p")))


def _older_pair_repulsion(repulsion: Module, r_max: float, weights: Weights) -> PairRepulsionSpec:
    """Return the repulsion of versions of mace-torch whose screening was fixed, with the cutoff of the model."""
    cutoff = repulsion.child("cutoff")
    cutoff.require_class("PolynomialCutoff")
    checks.require(abs(cutoff.number("r_max") - r_max) <= 1e-6 * r_max, cutoff, "r_max", str(cutoff.number("r_max")))
    weights[f"{repulsion.path}.c"] = repulsion.array("c")
    for name, value in OLDER_ZBL_SCREENING.items():
        weights[f"{repulsion.path}.{name}"] = np.array(value)
    # the reach does not depend on them, but every model with repulsion has them
    weights[f"{repulsion.path}.covalent_radii"] = covalent_radii
    return PairRepulsionSpec(cutoff_power=int(cutoff.number("p")), has_common_cutoff=True)
