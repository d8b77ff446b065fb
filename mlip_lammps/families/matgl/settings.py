"""Arguments of MatGL's networks, checked. This module does not import torch."""

from collections.abc import Collection, Mapping
from typing import Any

from ase.data import atomic_numbers

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.settings import whole_of

_OTHER_MODELS = {
    "MEGNet": "it predicts a property of the whole structure, and forces need the energy of each atom",
    "SO3Net": "it needs layers of equivariant features",
    "QET": "it has charges, which need sums over all atoms of the system",
}
"""Other models of MatGL, and what running them would need."""
_COMMON = {
    "include_state": (False, "the state of the whole system as an input; train with include_state False"),
    "is_intensive": (False, "an intensive property of the whole structure; train a potential with is_intensive False"),
    "task_type": ("regression", "a classification; train a potential with task_type regression"),
    "ntargets": (1, "several targets; train with ntargets 1"),
}
"""Settings that must have one value, and what another value means."""
_WIDEST = 10_000


def arguments_of(options: Mapping[str, Any], names: tuple[str, ...], source: str) -> Mapping[str, Any]:
    """Return the description of the network in a ``Potential``: its class, version and ``init_args``.

    Parameters
    ----------
    names
        Classes of networks that the caller takes.

    Raises
    ------
    ModelFileError
        If the arguments of the network are missing.
    UnsupportedModelError
        If the file contains another model; the message names it.
    """
    model = options.get("model")
    if not isinstance(model, dict):
        raise UnsupportedModelError(
            f"{source} contains a network without a Potential of MatGL around it; save the Potential"
        )
    name = model.get("@class")
    if name in _OTHER_MODELS:
        raise UnsupportedModelError(
            f"{source} is a {name} model of MatGL, and this package runs CHGNet, M3GNet and TensorNet potentials of "
            f"MatGL: {_OTHER_MODELS[name]}"
        )
    if "target_transformer" in options:
        raise UnsupportedModelError(
            f"{source} predicts a property such as the formation energy (TransformedTargetModel), not the energy of "
            "each atom; give a Potential of MatGL"
        )
    if name not in names or not isinstance(model.get("init_args"), dict):
        raise ModelFileError(
            f"{source} is a file of MatGL without the arguments of a {names[0]} model; save it again"
        )
    return model


def require_values(settings: Mapping[str, Any], expected: Mapping[str, tuple[Any, str]], source: str) -> None:
    """Refuse a network in which a setting, one of ``expected`` or of those of all potentials, has another value."""
    for name, (value, words) in (_COMMON | dict(expected)).items():
        if settings.get(name, value) != value:
            raise UnsupportedModelError(f"{source} has {words}")


def require_known(settings: Mapping[str, Any], known: Collection[str], source: str) -> None:
    """Refuse a network with a setting that is not one of ``known``."""
    if unknown := sorted(str(name) for name in settings.keys() - set(known)):
        raise UnsupportedModelError(
            f"{source} has the setting {unknown[0][:40]}, which this package does not know; update this package"
        )


def activation_of(settings: Mapping[str, Any], known: tuple[str, ...], source: str) -> str:
    """Return the name of the activation function, one of ``known``."""
    activation = settings["activation_type"]
    if activation not in known:
        raise UnsupportedModelError(
            f"{source} has the activation function {str(activation)[:20]}, and this package supports "
            f"{', '.join(known)}; train with one of these"
        )
    return activation


def sizes_of(
    settings: Mapping[str, Any], names: tuple[str, ...], source: str, largest: Mapping[str, int]
) -> dict[str, int]:
    """Return whole numbers from 1 on by name; ``largest`` has bounds of some of them."""
    return {name: whole_of(settings, name, source, largest.get(name, _WIDEST)) for name in names}


def elements_of(settings: Mapping[str, Any], source: str) -> tuple[int, ...]:
    """Return the atomic numbers of ``element_types``."""
    symbols = settings.get("element_types")
    is_list = isinstance(symbols, tuple | list) and symbols
    if not is_list or not all(isinstance(one, str) and atomic_numbers.get(one, 0) > 0 for one in symbols):
        raise ModelFileError(f"the setting element_types of {source} is not a list of elements; copy the files again")
    if len(set(symbols)) != len(symbols):
        raise ModelFileError(f"the setting element_types of {source} has an element twice; copy the files again")
    return tuple(atomic_numbers[one] for one in symbols)
