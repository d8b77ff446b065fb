"""The settings of a NequIP model, as a specification. This module does not import torch."""

from collections.abc import Mapping
from typing import Any

from ase.data import atomic_numbers

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.gated.irreps import convolution, full_product, gate_spec, harmonics
from mlip_lammps.families.gated.spec import GatedLayerSpec, GatedSpec, LinearSpec, RadialSpec
from mlip_lammps.families.irreps import Entry, format_irreps, parse_irreps, simplify_irreps

BUILDERS = ("nequip.model.NequIPGNNModel", "nequip.model.NequIPGNNEnergyModel")
_ABSENT = (None, False, 0)
_UNSUPPORTED = {
    "per_edge_type_cutoff": "cutoffs by pair of types; train with one r_max",
    "categorical_graph_field_embed": "an embedding of fields of the whole system; train without it",
    "pair_potential": "a pair potential; train without it",
    "readout_mlp_hidden_layers_depth": "a readout with hidden layers; train with readout_mlp_hidden_layers_depth 0",
    "convnet_resnet": "residual updates (convnet_resnet); train without them",
    "learnable_shift": "a learnable shift; train without it",
}
"""Settings that must be absent, None, False or 0, and what they are."""
_MOST_LAYERS, _LARGEST_ORDER, _MOST_CHANNELS = 50, 6, 10**5


def spec_of(settings: Mapping[str, Any], source: str, version: str) -> GatedSpec:
    """Return the specification of a model from the settings of its builder.

    Raises
    ------
    ModelFileError
        If a setting is missing or not what NequIP writes.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    _refuse_unsupported(settings, source)
    l_max = _whole(settings, "l_max", 1, 0, _LARGEST_ORDER, source)
    n_layers = _whole(settings, "num_layers", 4, 1, _MOST_LAYERS, source)
    is_parity = settings.get("parity", True)
    features = settings.get("num_features", 32)
    features = features if isinstance(features, list) else [features] * (l_max + 1)
    if len(features) != l_max + 1 or not all(type(n) is int and 0 < n < _MOST_CHANNELS for n in features):
        raise ModelFileError(f"num_features {features} of {source} does not fit l_max {l_max}; copy the file again")
    n_embedding = _whole(settings, "type_embed_num_features", None, 1, _MOST_CHANNELS, source, features[0])
    depth = _whole(settings, "radial_mlp_depth", 1, 0, 20, source)
    widths = (_whole(settings, "radial_mlp_width", 128, 1, _MOST_CHANNELS, source),) * depth
    cutoff = settings.get("r_max")
    if not isinstance(cutoff, int | float) or not 0.1 <= cutoff <= 100.0:
        raise ModelFileError(f"the setting r_max of {source} is {cutoff}, expected a distance; copy the file again")
    hidden = tuple(
        Entry(features[order], order, parity)
        for order in range(l_max + 1)
        for parity in ((1, -1) if is_parity else ((-1) ** order,))
    )
    layers, before = [], (Entry(n_embedding, 0, 1),)
    for t in range(n_layers):
        wanted = (Entry(features[0], 0, 1),) if t == n_layers - 1 else hidden
        layers.append(_layer(t, before, harmonics(l_max, True), wanted, widths))
        before = parse_irreps(layers[-1].irreps_out)
    numbers = _numbers(settings, source)
    return GatedSpec(
        atomic_numbers=numbers,
        cutoff=float(cutoff),
        l_max=l_max,
        has_odd_harmonics=True,
        has_unit_harmonics=True,
        radial=RadialSpec(
            n_basis=_whole(settings, "num_bessels", 8, 1, 1000, source),
            cutoff_kind="polynomial",
            cutoff_parameter=_whole(settings, "polynomial_cutoff_p", 6, 1, 100, source),
            activation_scale=1.0,
        ),
        embedding=LinearSpec("embedding", f"{len(numbers)}x0e", f"{n_embedding}x0e"),
        layers=tuple(layers),
        readout=(LinearSpec("readout.0", layers[-1].irreps_out, "1x0e"),),
        dtype="float64" if settings.get("model_dtype") == "float64" else "float32",
        made_by=f"NequIP {version}",
    )


def _refuse_unsupported(settings: Mapping[str, Any], source: str) -> None:
    builder = settings.get("_target_")
    if builder not in BUILDERS:
        raise UnsupportedModelError(
            f"{source} was built with {str(builder)[:80]}, and this package supports NequIPGNNModel; train with it"
        )
    for name, words in _UNSUPPORTED.items():
        if settings.get(name) not in _ABSENT:
            raise UnsupportedModelError(f"{source} has {words}")
    if settings.get("convnet_sc", True) is not True or settings.get("convnet_nonlinearity_type", "gate") != "gate":
        raise UnsupportedModelError(f"{source} has no self-connections or no gates; train with the defaults of NequIP")
    for name in ("convnet_nonlinearity_scalars", "convnet_nonlinearity_gates"):
        if settings.get(name, {"e": "silu", "o": "tanh"}) != {"e": "silu", "o": "tanh"}:
            raise UnsupportedModelError(f"{source} has {name} other than silu and tanh; train with the defaults")
    average = settings.get("avg_num_neighbors")
    if isinstance(average, dict) and len(set(average.values())) > 1:
        raise UnsupportedModelError(f"{source} has avg_num_neighbors by type; train with one number")


def _numbers(settings: Mapping[str, Any], source: str) -> tuple[int, ...]:
    names = settings.get("type_names")
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
        raise ModelFileError(f"the setting type_names of {source} is not a list of names; copy the file again")
    other = [name for name in names if name not in atomic_numbers or name == "X"]
    if other:
        raise UnsupportedModelError(
            f"{source} has the type {str(other[0])[:20]}, which is not an element; train with one type for each element"
        )
    return tuple(atomic_numbers[name] for name in names)


def _whole(
    settings: Mapping[str, Any], name: str, default: Any, low: int, high: int, source: str, instead: int = 0
) -> int:
    value = settings.get(name, default)
    if value is None:
        value = instead
    if type(value) is not int or not low <= value <= high:
        raise ModelFileError(
            f"the setting {name} of {source} is {str(value)[:40]}, expected {low} to {high}; copy the file again"
        )
    return value


def _layer(
    t: int, before: tuple[Entry, ...], edge: tuple[Entry, ...], wanted: tuple[Entry, ...], widths: tuple[int, ...]
) -> GatedLayerSpec:
    reached = {entry.kind for entry in full_product(before, edge)}
    out = tuple(entry for entry in wanted if entry.kind in reached)
    scalars = tuple(entry for entry in out if entry.order == 0)
    gated = tuple(entry for entry in out if entry.order > 0)
    activations = {1: "silu", -1: "tanh"}
    gate = gate_spec(scalars, gated, activations, activations)
    kinds = {entry.kind for entry in (*scalars, *gated)} | {(0, 1)}
    mid, paths = convolution(before, edge, kinds & reached)
    text, prefix = format_irreps(before), f"layers.{t}"
    return GatedLayerSpec(
        irreps_in=text,
        irreps_mid=format_irreps(mid),
        irreps_out=format_irreps((*scalars, *gated)),
        paths=tuple(paths),
        radial_widths=widths,
        up=LinearSpec(f"{prefix}.up", text, text),
        message=LinearSpec(f"{prefix}.message", format_irreps(simplify_irreps(mid)), gate.irreps_in),
        self_connection="none" if t == 0 else "element",
        gate=gate,
    )
