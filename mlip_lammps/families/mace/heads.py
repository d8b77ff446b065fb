"""Selection of one head of a multi-head model: the result is a plain model with one set of energies and readouts."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import UserInputError
from mlip_lammps.families.irreps import format_irreps, parse_irreps
from mlip_lammps.families.mace.embeddings import READOUT
from mlip_lammps.families.mace.spec import CHARGE_READOUTS, LayerSpec, MaceModel, ReadoutSpec, weights_of

Weights = dict[str, NDArray[np.generic]]


def select_head(trained: MaceModel, name: str | None) -> MaceModel:
    """Return ``trained`` with the head ``name`` alone; None stands for the only head.

    Raises
    ------
    UserInputError
        If the model has no such head, or if it has several and ``name`` is None.

    Notes
    -----
    mace-torch stacks the heads: energies of isolated atoms, scale and shift have a row per head, and a readout has an
    output per head. A nonlinear readout has as many hidden scalars for each head, and those of the other heads are set
    to zero before the next linear map. Without these zeros the fan-in of that map is smaller by the number of heads, so
    its weights are divided by the square root of that number.
    """
    heads = trained.spec.heads
    if name is None and len(heads) > 1:
        raise UserInputError(f"{trained.source_name} has the heads {', '.join(heads)}; choose one with --head or head=")
    if name is not None and name not in heads:
        raise UserInputError(
            f"{trained.source_name} has no head {name}; choose {'one of ' if len(heads) > 1 else ''}{', '.join(heads)}"
        )
    if len(heads) == 1:
        return trained
    k = heads.index(name)
    weights = dict(trained.weights)
    for key in ("atomic_energies_fn.atomic_energies", "scale_shift.scale", "scale_shift.shift"):
        weights[key] = weights[key][k : k + 1]
    if trained.spec.has_embedding_readout:
        weights[READOUT] = np.ascontiguousarray(weights[READOUT].reshape(-1, len(heads))[:, k])
    layers = tuple(_one_readout(layer, t, k, len(heads), weights) for t, layer in enumerate(trained.spec.layers, 1))
    return replace(trained, spec=replace(trained.spec, heads=(name,), layers=layers), weights=weights)


def _one_readout(layer: LayerSpec, t: int, k: int, n_heads: int, weights: Weights) -> LayerSpec:
    """Return the layer with the readout of head ``k`` alone, and replace its weights in ``weights``."""
    if layer.readout is None:
        return layer
    for part in ("readouts", CHARGE_READOUTS):
        if f"{weights_of(part, t)}.{layer.readout.maps[0]}.weight" in weights:
            _one_output(layer.readout, weights_of(part, t), k, n_heads, weights)
    if layer.readout.irreps_hidden is None:
        return layer
    (hidden,) = parse_irreps(layer.readout.irreps_hidden)
    own_irreps = format_irreps([replace(hidden, mul=hidden.mul // n_heads)])
    return replace(layer, readout=replace(layer.readout, irreps_hidden=own_irreps))


def _one_output(readout: ReadoutSpec, prefix: str, k: int, n_heads: int, weights: Weights) -> None:
    """Replace the weights of a readout by those of head ``k``."""
    if readout.irreps_hidden is None:
        key = f"{prefix}.linear.weight"
        weights[key] = np.ascontiguousarray(weights[key].reshape(-1, n_heads)[:, k])
        return
    (hidden,) = parse_irreps(readout.irreps_hidden)
    own = slice(k * hidden.mul // n_heads, (k + 1) * hidden.mul // n_heads)
    first, *later = readout.maps
    key = f"{prefix}.{first}.weight"
    weights[key] = np.ascontiguousarray(weights[key].reshape(-1, hidden.mul)[:, own]).reshape(-1)
    for name in later:
        outputs = slice(k, k + 1) if name == later[-1] else own
        key = f"{prefix}.{name}.weight"
        # In float64, so that the division does not round the weights of a float32 model.
        block = weights[key].reshape(hidden.mul, -1)[own, outputs].astype(np.float64)
        weights[key] = block.reshape(-1) / n_heads**0.5
        if readout.kind == "biased":
            weights[f"{prefix}.{name}.bias"] = weights[f"{prefix}.{name}.bias"][outputs]
