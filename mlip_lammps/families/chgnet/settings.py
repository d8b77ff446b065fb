"""The settings of a potential in a checkpoint, as a specification. This module does not import torch."""

from collections.abc import Mapping
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.settings import distance_of, whole_of
from mlip_lammps.families.chgnet.spec import ACTIVATIONS, N_ELEMENTS, CHGNetSpec

_EXPECTED = {
    "mlp_first": (True, "a readout of the average over all atoms; train with mlp_first True"),
    "is_intensive": (True, "energies of structures instead of energies per atom; train with is_intensive True"),
    "update_bond": (True, "no update of the bonds; train with update_bond True"),
    "update_angle": (True, "no update of the angles; train with update_angle True"),
    "conv_norm": (None, "a normalisation of the features (conv_norm); train without it"),
    "final_mlp": ("MLP", "a gated readout; train with final_mlp MLP"),
}
"""Settings that must have one value, and what another value means."""
_DEFAULTS = {
    "atom_fea_dim": 64, "bond_fea_dim": 64, "angle_fea_dim": 64, "composition_model": "MPtrj", "num_radial": 31,
    "num_angular": 31, "n_conv": 4, "atom_conv_hidden_dim": 64, "bond_conv_hidden_dim": 64, "angle_layer_hidden_dim": 0,
    "mlp_hidden_dims": (64, 64, 64), "non_linearity": "silu", "atom_graph_cutoff": 6, "bond_graph_cutoff": 3,
    "cutoff_coeff": 8, "gMLP_norm": "layer", "readout_norm": "layer",
}  # fmt: skip
"""Values of settings that the file does not state."""
_LARGEST = {"n_conv": 20, "num_radial": 1000, "num_angular": 1001, "cutoff_coeff": 100}
_SMALLEST = {"n_conv": 2}
_WIDEST = 10_000
_ABSENT = frozenset({84, 85, 86, 87, 88})
"""Po to Ra, which the Materials Project does not contain."""
_UNTRAINED = {"MPtrj": _ABSENT, "MPtrj_e": _ABSENT, "MP-r2SCAN": _ABSENT | {70}, None: frozenset()}
"""Elements without training data, by the reference energies (``composition_model``)."""
_JUMPS = (
    "biases after the sums over neighbours (mlp_out_bias), as version 0.2.0 of CHGNet: its energy jumps where the last "
    "angle of a structure appears or vanishes; use version 0.3.0 (chgnet-0.3.0) or train without them"
)


def spec_of(options: Mapping[str, Any], names: Mapping[str, Any], source: str) -> CHGNetSpec:
    """Return the specification of a potential from its ``model_args``.

    Parameters
    ----------
    names
        The state dict, whose names tell the parts that the arguments do not.

    Raises
    ------
    ModelFileError
        If an argument is not what the package writes.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    settings = _DEFAULTS | dict(options)
    if settings.get("mlp_out_bias", False) or any(name.endswith("mlp_out.layers.1.bias") for name in names):
        raise UnsupportedModelError(f"{source} has {_JUMPS}")
    for name, (value, words) in _EXPECTED.items():
        if settings.get(name, value) != value:
            raise UnsupportedModelError(f"{source} has {words}")
    cutoff, bond_cutoff = (distance_of(settings, name, source) for name in ("atom_graph_cutoff", "bond_graph_cutoff"))
    if bond_cutoff > cutoff:
        raise UnsupportedModelError(
            f"{source} has a bond_graph_cutoff of {bond_cutoff:g} angstrom, which is longer than the atom_graph_cutoff "
            f"{cutoff:g}: energies jump there; train with a bond_graph_cutoff up to the atom_graph_cutoff"
        )
    if settings["cutoff_coeff"] == 0:
        raise UnsupportedModelError(
            f"{source} has no cutoff function (cutoff_coeff 0), so energies jump at the cutoff; train with cutoff_coeff"
        )
    n_angular = _whole(settings, "num_angular", source)
    if n_angular % 2 == 0:
        raise ModelFileError(f"the setting num_angular of {source} is {n_angular}, expected an odd number")
    return CHGNetSpec(
        atomic_numbers=_elements(settings, source),
        cutoff=cutoff,
        bond_cutoff=bond_cutoff,
        cutoff_power=_whole(settings, "cutoff_coeff", source),
        n_radial=_whole(settings, "num_radial", source),
        n_angular=n_angular,
        n_layers=_whole(settings, "n_conv", source),
        atom_width=_whole(settings, "atom_fea_dim", source),
        bond_width=_whole(settings, "bond_fea_dim", source),
        angle_width=_whole(settings, "angle_fea_dim", source),
        atom_hidden=_widths(settings, "atom_conv_hidden_dim", source),
        bond_hidden=_widths(settings, "bond_conv_hidden_dim", source),
        angle_hidden=_widths(settings, "angle_layer_hidden_dim", source),
        readout_hidden=_widths(settings, "mlp_hidden_dims", source),
        has_norm=_has_norm(settings, "gMLP_norm", source),
        has_readout_norm=_has_norm(settings, "readout_norm", source),
        activation=_choice(settings, "non_linearity", ACTIVATIONS, "the activation function", source),
    )


def _whole(settings: Mapping[str, Any], name: str, source: str) -> int:
    return whole_of(settings, name, source, _LARGEST.get(name, _WIDEST), _SMALLEST.get(name, 1))


def _elements(settings: Mapping[str, Any], source: str) -> tuple[int, ...]:
    known = tuple(_UNTRAINED)
    references = _choice(settings, "composition_model", known, "the reference energies (composition_model)", source)
    return tuple(number for number in range(1, N_ELEMENTS + 1) if number not in _UNTRAINED[references])


def _choice(settings: Mapping[str, Any], name: str, known: tuple[Any, ...], words: str, source: str) -> Any:
    value = settings[name]
    if not isinstance(value, str | None) or value not in known:
        shown = value if isinstance(value, str) else type(value).__name__
        raise UnsupportedModelError(
            f"{source} has {words} {shown[:20]}, and this package supports {', '.join(map(str, known))}; train with "
            "one of these"
        )
    return value


def _has_norm(settings: Mapping[str, Any], name: str, source: str) -> bool:
    return _choice(settings, name, ("layer", None), f"the normalisation ({name})", source) is not None


def _widths(settings: Mapping[str, Any], name: str, source: str) -> tuple[int, ...]:
    """Return the widths of hidden layers: none for 0 or None, one for a number."""
    value = settings[name]
    widths = () if value in (0, None) else (value,) if type(value) is int else value
    is_sound = isinstance(widths, tuple | list) and len(widths) <= 20
    if not is_sound or not all(type(width) is int and 1 <= width <= _WIDEST for width in widths):
        raise ModelFileError(f"the setting {name} of {source} is {str(value)[:40]}, expected widths; copy it again")
    return tuple(widths)
