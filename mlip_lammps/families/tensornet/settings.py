"""The settings of a potential in ``model.pt``, as a specification. This module does not import torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.settings import distance_of
from mlip_lammps.families.matgl.settings import (
    activation_of,
    arguments_of,
    elements_of,
    require_known,
    require_values,
    sizes_of,
)
from mlip_lammps.families.tensornet.spec import ACTIVATIONS, GROUPS, TensorNetSpec

CLASSES = ("TensorNet", "TensorNetWarp")
"""The second one, of MatGL 2.1, computes the same on GPUs of NVIDIA."""
_DEFAULTS = {
    "units": 64, "nblocks": 2, "num_rbf": 32, "max_n": 3, "max_l": 3, "rbf_type": "Gaussian", "use_smooth": False,
    "activation_type": "swish", "cutoff": 5.0, "equivariance_invariance_group": "O(3)", "width": 0.5,
    "is_intensive": True,
}  # fmt: skip
"""Values of settings that the file does not state."""
_WITHOUT_EFFECT = frozenset({
    "element_types", "include_state", "task_type", "ntargets",  # read or required elsewhere
    "ntypes_state", "dim_state_embedding", "dim_state_feats",  # of the state
    "readout_type", "niters_set2set", "nlayers_set2set", "field",  # of intensive properties
    "dtype", "use_warp",
})  # fmt: skip
"""Settings that change nothing in a potential that passes the checks below."""
_SIZES = ("units", "nblocks", "num_rbf", "max_n", "max_l")
_LARGEST = {"nblocks": 20, "num_rbf": 1000, "max_n": 20, "max_l": 8}


@dataclass(frozen=True)
class Convention:
    """Which atom of an edge has which part in its message; it changed with MatGL 2.2.

    Attributes
    ----------
    is_embedding_reversed
        Whether an atom collects what its edges give to their other end, so that the halves of ``emb2`` are exchanged
        and vectors have the other sign.
    has_own_messages
        Whether the message of an interaction contains the tensors of the atom that receives it.
    """

    is_embedding_reversed: bool
    has_own_messages: bool


def convention_of(model: Mapping[str, Any], source: str) -> Convention:
    """Return the convention of the version of MatGL that trained a network.

    Parameters
    ----------
    model
        Description of the network in ``model.pt``.
    """
    version, module = model.get("@model_version", 0), model.get("@module")
    if type(version) is not int or not isinstance(module, str):
        raise ModelFileError(f"{source} does not state the version of its network; save it again with MatGL")
    if version > 2:
        raise UnsupportedModelError(
            f"{source} is version {version} of TensorNet, and this package knows versions 1 and 2; update this package"
        )
    if version == 2:
        return Convention(False, False)
    return Convention(True, not module.endswith("_pyg"))


def spec_of(options: Mapping[str, Any], source: str) -> tuple[TensorNetSpec, Convention]:
    """Return the specification of a potential from the arguments that ``model.pt`` contains.

    Raises
    ------
    ModelFileError
        If an argument is missing or not what MatGL writes.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    model = arguments_of(options, CLASSES, source)
    settings = _DEFAULTS | model["init_args"]
    require_known(settings, _DEFAULTS.keys() | _WITHOUT_EFFECT, source)
    require_values(settings, {}, source)
    convention = convention_of(model, source)
    width = settings["width"]
    if type(width) not in (int, float) or not 0.0 < width < 1e6:
        raise ModelFileError(f"the setting width of {source} is {str(width)[:40]}, expected a positive number")
    sizes = sizes_of(settings, _SIZES, source, _LARGEST)
    spec = TensorNetSpec(
        atomic_numbers=elements_of(settings, source),
        cutoff=distance_of(settings, "cutoff", source),
        radial_basis=_radial_basis(settings, source),
        max_n=sizes["max_n"],
        max_l=sizes["max_l"],
        n_functions=sizes["num_rbf"],
        gaussian_width=float(width),
        units=sizes["units"],
        n_blocks=sizes["nblocks"],
        group=_group(settings, source),
        activation=activation_of(settings, ACTIVATIONS, source),
        has_own_messages=convention.has_own_messages,
        has_repulsion=bool(options.get("calc_repuls", False)),
    )
    return spec, convention


def _radial_basis(settings: Mapping[str, Any], source: str) -> str:
    kind = settings["rbf_type"]
    if kind == "SphericalBessel":
        return "smooth" if settings["use_smooth"] else "bessel"
    if kind != "Gaussian":
        raise UnsupportedModelError(
            f"{source} has the radial functions {str(kind)[:20]}, and this package supports SphericalBessel and "
            "Gaussian; train with one of these"
        )
    return "gaussian"


def _group(settings: Mapping[str, Any], source: str) -> str:
    group = settings["equivariance_invariance_group"]
    if group not in GROUPS:
        raise ModelFileError(
            f"the setting equivariance_invariance_group of {source} is {str(group)[:20]}, expected "
            f"{' or '.join(GROUPS)}; copy the files again"
        )
    return group
