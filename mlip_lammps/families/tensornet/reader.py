"""Reader of TensorNet potentials of MatGL, as data and without torch."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.families.matgl.folder import State, read_potential
from mlip_lammps.families.tensornet.settings import spec_of
from mlip_lammps.families.tensornet.spec import REPULSION, TensorNetModel, TensorNetSpec

CITATION = "Simeon and De Fabritiis, Adv. Neural Inf. Process. Syst. 36 (2023), arXiv:2306.06482"
MARKS = (b"matgl.models._tensornet", b"tensor_embedding.")
"""Texts in arguments and weights of TensorNet."""

_EMBEDDING = "tensor_embedding"
_JOINED = f"model.{_EMBEDDING}.distance_proj"
"""The three linear maps of the distance as one, in networks for NVIDIA Warp."""


def read_tensornet(path: Path) -> TensorNetModel:
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
    spec, convention = spec_of(potential.options, potential.source)
    with potential.open_state() as state:
        weights = _weights(spec, state)
        weights |= state.scale_and_constants(len(spec.atomic_numbers))
        if spec.has_repulsion:
            weights |= {f"repulsion.{name}": state.array(f"repuls.{name}", shape) for name, shape in REPULSION.items()}
            weights["repulsion.ke"] = state.array("repuls.ke", ())
    if convention.is_embedding_reversed:
        weights |= _reversed(weights)
    return TensorNetModel(spec, weights, potential.sha256(), potential.name, {"citation": CITATION})


def _weights(spec: TensorNetSpec, state: State) -> dict[str, NDArray[np.floating]]:
    found, joined = {}, {}
    if f"{_JOINED}.weight" in state:
        for part, shape in (("weight", (3 * spec.units, spec.n_radial)), ("bias", (3 * spec.units,))):
            thirds = np.split(state.array(f"{_JOINED}.{part}", shape), 3)
            joined |= {f"{_EMBEDDING}.distance_proj{k + 1}.{part}": third for k, third in enumerate(thirds)}
    for name, shape in spec.weight_shapes().items():
        found[name] = joined[name] if name in joined else state.array(f"model.{name}", shape)
    return found


def _reversed(weights: dict[str, NDArray[np.floating]]) -> dict[str, NDArray[np.floating]]:
    """Return weights with which messages to the first atom of an edge equal those to the second one; see Convention."""
    name = f"{_EMBEDDING}.emb2.weight"
    halves = np.split(weights[name], 2, axis=1)
    skew = f"{_EMBEDDING}.distance_proj2"
    return {name: np.concatenate(halves[::-1], axis=1)} | {
        f"{skew}.{part}": -weights[f"{skew}.{part}"] for part in ("weight", "bias")
    }
