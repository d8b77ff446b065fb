"""The settings of a potential in ``model.pt``, as a specification. This module does not import torch."""

from collections.abc import Mapping
from typing import Any

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.settings import distance_of
from mlip_lammps.families.m3gnet.spec import ACTIVATIONS, M3GNetSpec
from mlip_lammps.families.matgl.settings import activation_of, arguments_of, elements_of, require_values, sizes_of

_EXPECTED = {
    "rbf_type": ("SphericalBessel", "other radial functions than SphericalBessel; train with these"),
    "use_phi": (False, "spherical harmonics of two angles; train with use_phi False"),
}
"""Settings that must have one value, and what another value means."""
_DEFAULTS = {
    "dim_node_embedding": 64, "dim_edge_embedding": 64, "units": 64, "max_n": 3, "max_l": 3, "nblocks": 3,
    "cutoff": 5.0, "threebody_cutoff": 4.0, "use_smooth": False, "activation_type": "swish", "is_intensive": True,
}  # fmt: skip
"""Values of settings that the file does not state."""
_SIZES = ("max_n", "max_l", "nblocks", "dim_node_embedding", "dim_edge_embedding", "units")
_LARGEST = {"nblocks": 20, "max_n": 20, "max_l": 8}


def spec_of(options: Mapping[str, Any], source: str) -> M3GNetSpec:
    """Return the specification of a potential from the arguments that ``model.pt`` contains.

    Raises
    ------
    ModelFileError
        If an argument is missing or not what MatGL writes.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    model = arguments_of(options, ("M3GNet",), source)
    settings = _DEFAULTS | model["init_args"]
    require_values(settings, _EXPECTED, source)
    if options.get("calc_repuls", False):
        raise UnsupportedModelError(f"{source} has the ZBL repulsion of MatGL; train with calc_repuls False")
    cutoff, threebody_cutoff = (distance_of(settings, name, source) for name in ("cutoff", "threebody_cutoff"))
    if threebody_cutoff > cutoff:
        raise UnsupportedModelError(
            f"{source} has a threebody_cutoff of {threebody_cutoff:g} angstrom, which is longer than the cutoff "
            f"{cutoff:g}: energies jump there; train with a threebody_cutoff up to the cutoff"
        )
    sizes = sizes_of(settings, _SIZES, source, _LARGEST)
    return M3GNetSpec(
        atomic_numbers=elements_of(settings, source),
        cutoff=cutoff,
        threebody_cutoff=threebody_cutoff,
        max_n=sizes["max_n"],
        max_l=sizes["max_l"],
        n_blocks=sizes["nblocks"],
        node_width=sizes["dim_node_embedding"],
        edge_width=sizes["dim_edge_embedding"],
        hidden_width=sizes["units"],
        has_smooth_basis=bool(settings["use_smooth"]),
        activation=activation_of(settings, ACTIVATIONS, source),
        has_incoming_messages=_is_of_dgl(options, model, source),
    )


def _is_of_dgl(options: Mapping[str, Any], model: Mapping[str, Any], source: str) -> bool:
    """Return whether MatGL with DGL trained the network: versions before 3, and version 3 if the user chose so.

    Files do not state the version. Since 3.0.1 or later a ``Potential`` without DGL has the argument ``compile_model``.
    """
    module = model.get("@module")
    if not isinstance(module, str):
        raise ModelFileError(f"{source} does not state the module of its network; save it again with MatGL")
    return not module.endswith("_pyg") and "compile_model" not in options
