"""The settings of a potential in ``model.pt``, as a specification. This module does not import torch."""

from collections.abc import Mapping
from typing import Any

from ase.data import atomic_numbers

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.settings import distance_of, whole_of
from mlip_lammps.families.m3gnet.spec import ACTIVATIONS, M3GNetSpec

_OTHER_MODELS = {
    "MEGNet": "it predicts a property of the whole structure, and forces need the energy of each atom",
    "CHGNet": "of CHGNet it reads checkpoints of the package chgnet, and MatGL has other layers",
    "TensorNet": "it needs layers of tensor features",
    "SO3Net": "it needs layers of equivariant features",
    "QET": "it has charges, which need sums over all atoms of the system",
}
"""Other models of MatGL, and what running them would need."""
_EXPECTED = {
    "include_state": (False, "the state of the whole system as an input; train with include_state False"),
    "is_intensive": (False, "an intensive property of the whole structure; train a potential with is_intensive False"),
    "task_type": ("regression", "a classification; train a potential with task_type regression"),
    "ntargets": (1, "several targets; train with ntargets 1"),
    "rbf_type": ("SphericalBessel", "other radial functions than SphericalBessel; train with these"),
    "use_phi": (False, "spherical harmonics of two angles; train with use_phi False"),
}
"""Settings that must have one value, and what another value means."""
_DEFAULTS = {
    "dim_node_embedding": 64, "dim_edge_embedding": 64, "units": 64, "max_n": 3, "max_l": 3, "nblocks": 3,
    "cutoff": 5.0, "threebody_cutoff": 4.0, "use_smooth": False, "activation_type": "swish", "is_intensive": True,
}  # fmt: skip
"""Values of settings that the file does not state."""
_LARGEST = {"nblocks": 20, "max_n": 20, "max_l": 8}
_WIDEST = 10_000


def spec_of(options: Mapping[str, Any], source: str) -> M3GNetSpec:
    """Return the specification of a potential from the arguments that ``model.pt`` contains.

    Raises
    ------
    ModelFileError
        If an argument is missing or not what MatGL writes.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    settings = _DEFAULTS | _arguments_of_network(options, source)
    for name, (value, words) in _EXPECTED.items():
        if settings.get(name, value) != value:
            raise UnsupportedModelError(f"{source} has {words}")
    if options.get("calc_repuls", False):
        raise UnsupportedModelError(f"{source} has the ZBL repulsion of MatGL; train with calc_repuls False")
    activation = settings["activation_type"]
    if activation not in ACTIVATIONS:
        raise UnsupportedModelError(
            f"{source} has the activation function {str(activation)[:20]}, and this package supports "
            f"{', '.join(ACTIVATIONS)}; train with one of these"
        )
    cutoff, threebody_cutoff = (distance_of(settings, name, source) for name in ("cutoff", "threebody_cutoff"))
    if threebody_cutoff > cutoff:
        raise UnsupportedModelError(
            f"{source} has a threebody_cutoff of {threebody_cutoff:g} angstrom, which is longer than the cutoff "
            f"{cutoff:g}: energies jump there; train with a threebody_cutoff up to the cutoff"
        )
    return M3GNetSpec(
        atomic_numbers=_elements(settings, source),
        cutoff=cutoff,
        threebody_cutoff=threebody_cutoff,
        max_n=_whole(settings, "max_n", source),
        max_l=_whole(settings, "max_l", source),
        n_blocks=_whole(settings, "nblocks", source),
        node_width=_whole(settings, "dim_node_embedding", source),
        edge_width=_whole(settings, "dim_edge_embedding", source),
        hidden_width=_whole(settings, "units", source),
        has_smooth_basis=bool(settings["use_smooth"]),
        activation=activation,
    )


def _arguments_of_network(options: Mapping[str, Any], source: str) -> Mapping[str, Any]:
    model = options.get("model")
    if not isinstance(model, dict):
        raise UnsupportedModelError(
            f"{source} contains a network without a Potential of MatGL around it; save the Potential"
        )
    name = model.get("@class")
    if name in _OTHER_MODELS:
        raise UnsupportedModelError(
            f"{source} is a {name} model of MatGL, and this package runs M3GNet potentials of MatGL: "
            f"{_OTHER_MODELS[name]}"
        )
    if "target_transformer" in options:
        raise UnsupportedModelError(
            f"{source} predicts a property such as the formation energy (TransformedTargetModel), not the energy of "
            "each atom; give a Potential of MatGL"
        )
    if name != "M3GNet" or not isinstance(model.get("init_args"), dict):
        raise ModelFileError(f"{source} is a file of MatGL without the arguments of an M3GNet model; save it again")
    return model["init_args"]


def _whole(settings: Mapping[str, Any], name: str, source: str) -> int:
    return whole_of(settings, name, source, _LARGEST.get(name, _WIDEST))


def _elements(settings: Mapping[str, Any], source: str) -> tuple[int, ...]:
    symbols = settings.get("element_types")
    is_list = isinstance(symbols, tuple | list) and symbols
    if not is_list or not all(isinstance(one, str) and atomic_numbers.get(one, 0) > 0 for one in symbols):
        raise ModelFileError(f"the setting element_types of {source} is not a list of elements; copy the files again")
    if len(set(symbols)) != len(symbols):
        raise ModelFileError(f"the setting element_types of {source} has an element twice; copy the files again")
    return tuple(atomic_numbers[one] for one in symbols)
