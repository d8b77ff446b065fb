"""The settings of NequIP's builders, as a design. This module does not import torch."""

import re
from collections.abc import Mapping
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.gated.irreps import harmonics
from mlip_lammps.families.irreps import Entry, format_irreps, parse_irreps
from mlip_lammps.families.nequip.design import Design

_PRESET, _FULL = "PresetNequIPGNNModel", "FullNequIPGNNModel"
_BUILDERS = ("NequIPGNNModel", "NequIPGNNEnergyModel", _PRESET, _FULL, "FullNequIPGNNEnergyModel")
_ZBL = "nequip.nn.pair_potential.ZBL"
_OWN_ZBL_CUTOFF = (0, 17)
"""Version of NequIP since which the repulsion has a cutoff function of its own."""
_NATURAL_PARITY = (0, 16)
"""Version since which models without parity have irreps of parity (-1)^l; before, all were labelled even."""
_SMALL_RADIAL = (0, 17)
"""Version since which the default radial network has one hidden layer of 128; before, it had two of 64."""
_DEFAULT_POWER = 6
_COMMON_PRESET = {"parity": False, "type_embed_num_features": 32, "radial_mlp_depth": 1, "radial_mlp_width": 128}
_PRESETS = {
    "S": {"num_layers": 2, "l_max": 1, "num_features": [128, 64]},
    "M": {"num_layers": 4, "l_max": 2, "num_features": [128, 64, 32]},
    "L": {"num_layers": 6, "l_max": 3, "num_features": [128, 64, 32, 32]},
    "XL": {"num_layers": 6, "l_max": 4, "num_features": [320, 96, 64, 32, 32]},
}
_ABSENT = (None, False, 0)
_UNSUPPORTED = {
    "categorical_graph_field_embed": "an embedding of fields of the whole system; train without it",
    "convnet_resnet": "residual updates (convnet_resnet); train without them",
    "learnable_shift": "a learnable shift; train without it",
}
"""Settings that must be absent, None, False or 0, and what they are."""
_KNOWN = frozenset(
    {
        "_target_", "seed", "model_dtype", "compile_mode", "type_names", "r_max", "per_edge_type_cutoff", "num_layers",
        "l_max", "parity", "num_features", "type_embed_num_features", "radial_mlp_depth", "radial_mlp_width",
        "num_bessels", "bessel_trainable", "polynomial_cutoff_p", "avg_num_neighbors", "per_type_energy_scales",
        "per_type_energy_shifts", "per_type_energy_scales_trainable", "per_type_energy_shifts_trainable",
        "pair_potential", "do_derivatives", "readout_mlp_hidden_layers_depth", "readout_mlp_hidden_layers_width",
        "readout_mlp_nonlinearity", "convnet_sc", "convnet_nonlinearity_type", "convnet_nonlinearity_scalars",
        "convnet_nonlinearity_gates", "preset", "feature_irreps_hidden", "irreps_edge_sh", *_UNSUPPORTED,
    }
)  # fmt: skip
_LARGEST = 10**5


def design_of(settings: Mapping[str, Any], source: str, version: str) -> Design:
    """Return the design of a model from the settings of its builder.

    Parameters
    ----------
    version
        Version of NequIP that wrote the file.

    Raises
    ------
    ModelFileError
        If a setting is missing or not what NequIP writes.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    builder = _builder(settings, source)
    _refuse_unsupported(settings, source)
    if builder == _PRESET:
        name = str(settings.get("preset")).upper()
        if name not in _PRESETS:
            raise UnsupportedModelError(f"{source} has the preset {name[:20]}; known are {', '.join(_PRESETS)}")
        settings = {**_COMMON_PRESET, **_PRESETS[name], **settings}
    is_full = builder.startswith("Full")
    of_layers = _of_full(settings, source) if is_full else _of_short(settings, source, version)
    cutoff = settings.get("r_max")
    if type(cutoff) not in (int, float):
        raise ModelFileError(f"the setting r_max of {source} is {cutoff}, expected a distance; copy the file again")
    names = settings.get("type_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelFileError(f"the setting type_names of {source} is not a list of names; copy the file again")
    power = _whole(settings, "polynomial_cutoff_p", _DEFAULT_POWER, 2, 100, source)
    hidden = of_layers["hidden"]
    return Design(
        type_names=tuple(names),
        cutoff=float(cutoff),
        n_basis=_whole(settings, "num_bessels", 8, 1, 1000, source),
        cutoff_power=power,
        dtype="float64" if settings.get("model_dtype") == "float64" else "float32",
        has_self_connections=settings.get("convnet_sc", True) is True,
        of_scalars=_activations(settings, "convnet_nonlinearity_scalars", source),
        of_gates=_activations(settings, "convnet_nonlinearity_gates", source),
        readout_widths=_readout_widths(settings, hidden[-1], source),
        readout_activation=_readout_activation(settings),
        has_pair_cutoffs=settings.get("per_edge_type_cutoff") is not None,
        repulsion_power=_repulsion_power(settings.get("pair_potential"), power, source, version),
        **of_layers,
    )


def _builder(settings: Mapping[str, Any], source: str) -> str:
    target = str(settings.get("_target_"))[:80]
    if target.startswith("allegro."):
        raise UnsupportedModelError(
            f"{source} was built with {target}: Allegro (nequip-allegro) is another architecture, which this package "
            "does not read; use pair_style allegro"
        )
    package, _, name = target.rpartition(".")
    if name not in _BUILDERS or package.partition(".")[0] != "nequip":
        raise UnsupportedModelError(
            f"{source} was built with {target}, and this package supports NequIPGNNModel; train with it"
        )
    return name


def _refuse_unsupported(settings: Mapping[str, Any], source: str) -> None:
    unknown = [str(name)[:40] for name in settings if name not in _KNOWN]
    if unknown:
        raise UnsupportedModelError(
            f"{source} has the setting {unknown[0]}, which this package does not know; package the checkpoint with "
            "nequip-package and give the .nequip.zip file"
        )
    for name, words in _UNSUPPORTED.items():
        if settings.get(name) not in _ABSENT:
            raise UnsupportedModelError(f"{source} has {words}")
    if settings.get("convnet_nonlinearity_type", "gate") != "gate":
        raise UnsupportedModelError(f"{source} has no gates (convnet_nonlinearity_type); train with the default")


def is_older(version: str, than: tuple[int, int]) -> bool:
    """Return whether a version is older; an unknown one is not."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return found is not None and (int(found[1]), int(found[2])) < than


def _of_short(settings: Mapping[str, Any], source: str, version: str) -> dict[str, Any]:
    """Return the design of the layers from the settings of ``NequIPGNNModel``."""
    l_max = _whole(settings, "l_max", 1, 0, 6, source)
    n_layers = _whole(settings, "num_layers", 4, 1, 50, source)
    features = settings.get("num_features", 32)
    features = features if isinstance(features, list) else [features] * (l_max + 1)
    if len(features) != l_max + 1 or not all(type(n) is int and 0 < n < _LARGEST for n in features):
        raise ModelFileError(f"num_features {features} of {source} does not fit l_max {l_max}; copy the file again")
    default_depth, default_width = (2, 64) if is_older(version, _SMALL_RADIAL) else (1, 128)
    depth = _whole(settings, "radial_mlp_depth", default_depth, 0, 20, source)
    widths = (_whole(settings, "radial_mlp_width", default_width, 1, _LARGEST, source),) * depth
    has_parity = bool(settings.get("parity", True))
    has_odd_harmonics = has_parity or not is_older(version, _NATURAL_PARITY)
    hidden = tuple(
        Entry(features[order], order, parity)
        for order in range(l_max + 1)
        for parity in ((1, -1) if has_parity else ((-1) ** order if has_odd_harmonics else 1,))
    )
    return {
        "l_max": l_max,
        "n_embedding": _whole(settings, "type_embed_num_features", None, 1, _LARGEST, source, features[0]),
        "hidden": (hidden,) * (n_layers - 1) + ((Entry(features[0], 0, 1),),),
        "radial_widths": (widths,) * n_layers,
        "has_odd_harmonics": has_odd_harmonics,
    }


def _of_full(settings: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the design of the layers from the settings of ``FullNequIPGNNModel``."""
    lists = [settings.get(name) for name in ("feature_irreps_hidden", "radial_mlp_depth", "radial_mlp_width")]
    if not all(isinstance(values, list) and len(values) == len(lists[0]) for values in lists):
        raise ModelFileError(f"the settings of the layers of {source} are not lists of one length; copy the file again")
    edge = settings.get("irreps_edge_sh")
    edge = harmonics(edge, True) if type(edge) is int and 0 <= edge <= 6 else _irreps(edge, source)
    l_max = len(edge) - 1
    if edge not in (harmonics(l_max, True), harmonics(l_max, False)):
        raise UnsupportedModelError(
            f"{source} has the spherical harmonics {format_irreps(edge)} (irreps_edge_sh), expected all orders once"
        )
    for name, largest, values in (("radial_mlp_depth", 20, lists[1]), ("radial_mlp_width", _LARGEST, lists[2])):
        if not all(type(value) is int and 0 <= value <= largest for value in values):
            raise ModelFileError(f"the setting {name} of {source} is {str(values)[:40]}; copy the file again")
    return {
        "l_max": l_max,
        "n_embedding": _whole(settings, "type_embed_num_features", None, 1, _LARGEST, source),
        "hidden": tuple(_irreps(one, source) for one in lists[0]),
        "has_odd_harmonics": edge == harmonics(l_max, True),
        "radial_widths": tuple((width,) * depth for depth, width in zip(lists[1], lists[2], strict=True)),
    }


def _irreps(text: Any, source: str) -> tuple[Entry, ...]:
    if not isinstance(text, str):
        raise ModelFileError(f"{source} has {str(text)[:40]} in place of irreps; copy the file again")
    return parse_irreps(re.sub(r"(^|\+)(\d+[eo])", r"\g<1>1x\g<2>", text.replace(" ", "")))


def _activations(settings: Mapping[str, Any], name: str, source: str) -> dict[int, str]:
    value = settings.get(name, {"e": "silu", "o": "tanh"})
    if not isinstance(value, dict) or set(value) != {"e", "o"}:
        raise ModelFileError(f"the setting {name} of {source} is {str(value)[:40]}; copy the file again")
    return {1: str(value["e"])[:20], -1: str(value["o"])[:20]}


def _readout_widths(settings: Mapping[str, Any], last: tuple[Entry, ...], source: str) -> tuple[int, ...]:
    depth = _whole(settings, "readout_mlp_hidden_layers_depth", 0, 0, 20, source)
    if not depth:
        return ()
    own = sum(entry.mul * entry.dim for entry in last)
    return (_whole(settings, "readout_mlp_hidden_layers_width", None, 1, _LARGEST, source, own),) * depth


def _readout_activation(settings: Mapping[str, Any]) -> str | None:
    name = settings.get("readout_mlp_nonlinearity", "silu")
    return None if name in (None, "None", "null") else str(name)[:20]


def _repulsion_power(pair: Any, power: int, source: str, version: str) -> int | None:
    """Return the power of the cutoff of the ZBL repulsion; None without repulsion."""
    if pair is None:
        return None
    target = pair.get("_target_") if isinstance(pair, dict) else None
    if target != _ZBL:
        raise UnsupportedModelError(f"{source} has the pair potential {str(target)[:60]}; supported is {_ZBL}")
    unknown = set(pair) - {"_target_", "units", "chemical_species", "polynomial_cutoff_p"}
    if unknown:
        raise UnsupportedModelError(f"the ZBL repulsion of {source} has the unknown setting {min(unknown)[:40]}")
    own = pair.get("polynomial_cutoff_p", _DEFAULT_POWER)
    if own != int(own) or not 2 <= own <= 100:
        raise UnsupportedModelError(f"the ZBL repulsion of {source} has polynomial_cutoff_p {own}, expected a number")
    if is_older(version, _OWN_ZBL_CUTOFF) and power != own:
        raise UnsupportedModelError(
            f"{source} is of NequIP {version}, whose ZBL repulsion has the cutoff function of the model; newer "
            "versions read it with another one. Package it with the version that trained it and give the .nequip.zip "
            "file"
        )
    return int(own)


def _whole(
    settings: Mapping[str, Any], name: str, default: Any, low: int, high: int, source: str, instead: int = 0
) -> int:
    value = settings.get(name, default)
    if value is None:
        value = instead
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if type(value) is not int or not low <= value <= high:
        raise ModelFileError(
            f"the setting {name} of {source} is {str(value)[:40]}, expected {low} to {high}; copy the file again"
        )
    return value
