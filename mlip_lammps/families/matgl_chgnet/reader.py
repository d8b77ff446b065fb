"""Reader of CHGNet potentials of MatGL, as data and without torch."""

from pathlib import Path

from mlip_lammps.core.errors import UnsupportedModelError
from mlip_lammps.families.matgl.folder import State, read_potential
from mlip_lammps.families.matgl_chgnet.settings import spec_of
from mlip_lammps.families.matgl_chgnet.spec import MatGLCHGNetModel

CITATION = "Deng et al., Nat. Mach. Intell. 5, 1031 (2023), doi:10.1038/s42256-023-00716-3"
MARKS = (b"CHGNet", b"atom_graph_layers.")
"""Texts in arguments and weights."""

_OF_DGL = "model.atom_graph_layers.0.conv_layer.node_out_func.weight"
"""A weight whose name only MatGL with DGL writes."""
_NAMES_OF_DGL = {".conv.": ".conv_layer.", ".value.": ".layers.", ".gate.": ".gates.", ".norms.": ".norm_layers."}


def read_potential_of_chgnet(path: Path) -> MatGLCHGNetModel:
    """Read a potential from its folder.

    Parameters
    ----------
    path
        ``model.pt`` or ``model.json`` in the folder.

    Raises
    ------
    ModelFileError
        If a file is missing or damaged.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    potential = read_potential(path)
    spec = spec_of(potential.options, potential.source)
    with potential.open_state() as state:
        if _OF_DGL in state and spec.has_gated_readout:
            raise UnsupportedModelError(
                f"{potential.source} has a gated readout of MatGL with DGL, whose energies MatGL 4 does not have; "
                "train with final_mlp_type mlp"
            )
        weights = {name: state.array(_name_in(state, name), shape) for name, shape in spec.weight_shapes().items()}
        weights |= state.scale_and_constants(len(spec.atomic_numbers))
    return MatGLCHGNetModel(spec, weights, potential.sha256(), potential.name, {"citation": CITATION})


def _name_in(state: State, name: str) -> str:
    """Return the name of a weight in the file; MatGL with DGL writes others."""
    if _OF_DGL in state:
        for part, of_dgl in _NAMES_OF_DGL.items():
            name = name.replace(part, of_dgl)
    return f"model.{name}"
