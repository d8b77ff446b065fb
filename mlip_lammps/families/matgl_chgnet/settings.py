"""The settings of a potential in ``model.pt``, as a specification. This module does not import torch."""

from collections.abc import Mapping
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.settings import distance_of, whole_of
from mlip_lammps.families.matgl.settings import (
    activation_of,
    arguments_of,
    elements_of,
    require_known,
    require_values,
    sizes_of,
)
from mlip_lammps.families.matgl_chgnet.spec import ACTIVATIONS, MatGLCHGNetSpec

_VERSION = 1
_EXPECTED = {
    "dim_state_embedding": (None, "the state of the whole system as an input; train with dim_state_embedding None"),
    "dim_state_feats": (None, "the state of the whole system as an input; train with dim_state_feats None"),
    "num_targets": (1, "several targets; train with num_targets 1"),
    "pooling_operation": ("sum", "an average over atoms; train with pooling_operation sum"),
    "readout_field": ("atom_feat", "energies of bonds or angles; train with readout_field atom_feat"),
}
"""Settings that must have one value, and what another value means."""
_DEFAULTS = {
    "element_types": None, "dim_atom_embedding": 64, "dim_bond_embedding": 64, "dim_angle_embedding": 64,
    "non_linear_bond_embedding": False, "non_linear_angle_embedding": False, "cutoff": 6.0, "threebody_cutoff": 3.0,
    "cutoff_exponent": 5, "max_n": 9, "max_f": 4, "learn_basis": True, "num_blocks": 4, "shared_bond_weights": "both",
    "layer_bond_weights": None, "atom_conv_hidden_dims": (64,), "bond_update_hidden_dims": None,
    "bond_conv_hidden_dims": (64,), "angle_update_hidden_dims": (), "final_mlp_type": "mlp",
    "final_hidden_dims": (64, 64), "activation_type": "swish", "normalization": None, "normalize_hidden": False,
    "is_intensive": False, "num_site_targets": 1,
}  # fmt: skip
"""Values of settings that the file does not state."""
_WITHOUT_EFFECT = frozenset({
    *_EXPECTED, "task_type",  # required elsewhere
    "conv_dropout", "final_dropout",  # of the training
    "error_handling",  # of MatGL 2
})  # fmt: skip
"""Settings that change nothing in a potential that passes the checks below."""
_SIZES = ("dim_atom_embedding", "dim_bond_embedding", "dim_angle_embedding", "max_n", "max_f", "cutoff_exponent")
_LARGEST = {"max_n": 1000, "max_f": 1000, "cutoff_exponent": 100}
_MOST_LAYERS = 20
_WIDEST = 10_000
_N_ELEMENTS = 94
_WEIGHTS = ("bond", "three_body_bond", "both", None)


def spec_of(options: Mapping[str, Any], source: str) -> MatGLCHGNetSpec:
    """Return the specification of a potential from the arguments that ``model.pt`` contains.

    Raises
    ------
    ModelFileError
        If an argument is not what MatGL writes.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    model = arguments_of(options, ("CHGNet",), source)
    _require_version(model, source)
    settings = _DEFAULTS | model["init_args"]
    require_known(settings, _DEFAULTS.keys() | _WITHOUT_EFFECT, source)
    require_values(settings, _EXPECTED, source)
    if options.get("calc_repuls", False):
        raise UnsupportedModelError(f"{source} has the ZBL repulsion of MatGL; train with calc_repuls False")
    if settings["threebody_cutoff"] == 0:
        raise UnsupportedModelError(f"{source} has no angles (threebody_cutoff 0); train with a threebody_cutoff")
    if settings["num_blocks"] == 1:
        raise UnsupportedModelError(f"{source} has one block, which has no angles; train with num_blocks from 2 on")
    cutoff, bond_cutoff = (distance_of(settings, name, source) for name in ("cutoff", "threebody_cutoff"))
    if bond_cutoff > cutoff:
        raise UnsupportedModelError(
            f"{source} has a threebody_cutoff of {bond_cutoff:g} angstrom, which is longer than the cutoff "
            f"{cutoff:g}: energies jump there; train with a threebody_cutoff up to the cutoff"
        )
    sizes = sizes_of(settings, _SIZES, source, _LARGEST)
    shared, layer = (_choice(settings, f"{which}_bond_weights", _WEIGHTS, source) for which in ("shared", "layer"))
    _require_weights(shared, layer, source)
    has_norm = _choice(settings, "normalization", ("layer", None), source) is not None
    symbols = settings["element_types"]
    return MatGLCHGNetSpec(
        atomic_numbers=tuple(range(1, _N_ELEMENTS + 1)) if symbols is None else elements_of(settings, source),
        cutoff=cutoff,
        bond_cutoff=bond_cutoff,
        cutoff_power=sizes["cutoff_exponent"],
        n_radial=sizes["max_n"],
        n_angular=sizes["max_f"],
        n_layers=whole_of(settings, "num_blocks", source, _MOST_LAYERS, 2),
        atom_width=sizes["dim_atom_embedding"],
        bond_width=sizes["dim_bond_embedding"],
        angle_width=sizes["dim_angle_embedding"],
        atom_hidden=_widths(settings, "atom_conv_hidden_dims", source),
        edge_hidden=_optional_widths(settings, "bond_update_hidden_dims", source),
        bond_hidden=_widths(settings, "bond_conv_hidden_dims", source),
        angle_hidden=_optional_widths(settings, "angle_update_hidden_dims", source),
        readout_hidden=_widths(settings, "final_hidden_dims", source),
        has_shared_weights=shared in ("bond", "both"),
        has_layer_weights=layer in ("bond", "both"),
        has_bond_layer_weights=layer in ("three_body_bond", "both"),
        has_norm=has_norm,
        has_hidden_norms=has_norm and _flag(settings, "normalize_hidden", source),
        has_bond_activation=_flag(settings, "non_linear_bond_embedding", source),
        has_angle_activation=_flag(settings, "non_linear_angle_embedding", source),
        has_gated_readout=_choice(settings, "final_mlp_type", ("mlp", "gated"), source) == "gated",
        has_moments=_n_site_targets(settings, source) == 1,
        activation=activation_of(settings, ACTIVATIONS, source),
    )


def _require_version(model: Mapping[str, Any], source: str) -> None:
    version = model.get("@model_version", 0)
    if type(version) is not int:
        raise ModelFileError(f"{source} does not state the version of its network; save it again with MatGL")
    if version > _VERSION:
        raise UnsupportedModelError(
            f"{source} is version {version} of CHGNet, and this package knows version {_VERSION}; update this package"
        )


def _require_weights(shared: str | None, layer: str | None, source: str) -> None:
    """Refuse messages without a factor that vanishes at the cutoff."""
    if shared not in ("bond", "both") and layer not in ("bond", "both"):
        raise UnsupportedModelError(
            f"{source} has messages of edges without weights of the distance (shared_bond_weights {shared}, "
            f"layer_bond_weights {layer}): energies jump at the cutoff; train with shared_bond_weights both"
        )
    if shared not in ("three_body_bond", "both"):  # weights of a layer have a bias
        raise UnsupportedModelError(
            f"{source} has messages of angles without shared weights of the distance (shared_bond_weights {shared}): "
            "energies jump at the threebody_cutoff; train with shared_bond_weights both"
        )


def _n_site_targets(settings: Mapping[str, Any], source: str) -> int:
    value = settings["num_site_targets"]
    if type(value) is int and value > 1:
        raise UnsupportedModelError(
            f"{source} has {value} results for each atom; train with num_site_targets 1, the magnetic moment, or 0"
        )
    return whole_of(settings, "num_site_targets", source, 1, 0)


def _choice(settings: Mapping[str, Any], name: str, known: tuple[str | None, ...], source: str) -> str | None:
    value = settings[name]
    if not isinstance(value, str | None) or value not in known:
        raise UnsupportedModelError(
            f"{source} has {name} {str(value)[:20]}, and this package supports {', '.join(map(str, known))}; train "
            "with one of these"
        )
    return value


def _flag(settings: Mapping[str, Any], name: str, source: str) -> bool:
    value = settings[name]
    if type(value) is not bool:
        raise ModelFileError(f"the setting {name} of {source} is {str(value)[:40]}, expected True or False")
    return value


def _optional_widths(settings: Mapping[str, Any], name: str, source: str) -> tuple[int, ...] | None:
    return None if settings[name] is None else _widths(settings, name, source)


def _widths(settings: Mapping[str, Any], name: str, source: str) -> tuple[int, ...]:
    """Return the widths of hidden layers."""
    value = settings[name]
    is_sound = isinstance(value, tuple | list) and len(value) <= 20
    if not is_sound or not all(type(width) is int and 1 <= width <= _WIDEST for width in value):
        raise ModelFileError(f"the setting {name} of {source} is {str(value)[:40]}, expected widths; copy it again")
    return tuple(value)
