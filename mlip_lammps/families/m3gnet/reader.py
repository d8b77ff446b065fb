"""Reader of M3GNet potentials of MatGL, as data and without torch."""

from pathlib import Path

from mlip_lammps.families.m3gnet.settings import spec_of
from mlip_lammps.families.m3gnet.spec import M3GNetModel
from mlip_lammps.families.matgl.folder import read_potential

CITATION = "Chen and Ong, Nat. Comput. Sci. 2, 718 (2022), doi:10.1038/s43588-022-00349-3"
MARKS = (b"matgl.", b"threebody_cutoff", b"three_body_interactions.")
"""Texts in the files of M3GNet, and of models of MatGL that no other family reads."""


def read_m3gnet(path: Path) -> M3GNetModel:
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
        weights = {name: state.array(f"model.{name}", shape) for name, shape in spec.weight_shapes().items()}
        weights |= state.scale_and_constants(len(spec.atomic_numbers))
    return M3GNetModel(spec, weights, potential.sha256(), potential.name, {"citation": CITATION})
