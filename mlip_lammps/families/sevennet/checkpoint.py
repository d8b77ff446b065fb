"""Reader of SevenNet checkpoints: a state dict and a configuration, read as data and without torch."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mlip_lammps.core.errors import ModelFileError
from mlip_lammps.families.checkpoints.archive import TorchArchive, small_pickle
from mlip_lammps.families.gated.spec import GatedModel, GatedSpec, Weights
from mlip_lammps.families.gated.validation import check_weights
from mlip_lammps.families.sevennet.config import Config, spec_of
from mlip_lammps.models.installed import licence_of

FAMILY_NAME = "sevennet"
CITATION = "Park et al., J. Chem. Theory Comput. 20, 4857 (2024), doi:10.1021/acs.jctc.4c00190"

_MARKS = (b"model_state_dict", b"config", b"E3_equivariant_model")
_NAMES = frozenset({"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.ndarray"})
_OLD_NAMES = (
    (re.compile(r"^EdgeEmbedding\b"), "edge_embedding"),
    (re.compile(r"^reducing nn input to hidden\b"), "reduce_input_to_hidden"),
    (re.compile(r"^reducing nn hidden to energy\b"), "reduce_hidden_to_energy"),
    (re.compile(r"^rescale atomic energy\b"), "rescale_atomic_energy"),
    (re.compile(r"^(\d+) (self connection intro|convolution|self interaction 2|equivariant gate)\b"), None),
)
"""Names of modules before version 0.10; spaces of the last pattern became underscores."""
_COUPLING = re.compile(r"^\d+_convolution\.convolution\._compiled_main_left_right\._w3j_(\d)_(\d)_(\d)$")


def is_checkpoint(path: Path, start: bytes) -> bool:
    """Return whether a file looks like a checkpoint of SevenNet: a zip of torch whose pickle has its keys."""
    pickled = small_pickle(path, start)
    return pickled is not None and all(mark in pickled for mark in _MARKS)


def read_checkpoint(path: Path) -> GatedModel:
    """Read a checkpoint without running its content.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    with TorchArchive(path, _NAMES) as archive:
        root = archive.root()
        if not isinstance(root, dict) or not all(isinstance(root.get(k), dict) for k in ("config", "model_state_dict")):
            raise ModelFileError(f"{path} lacks a state dict or a configuration; give a checkpoint_*.pth of SevenNet")
        try:
            spec = spec_of(Config(root["config"], path.name))
            weights = _weights(spec, _States(root["model_state_dict"], archive))
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise ModelFileError(f"{path} is damaged ({error}); copy the file again") from error
    licence = licence_of(path)
    remarks = {"citation": CITATION} | ({} if licence is None else {"licence": licence})
    trained = GatedModel(
        FAMILY_NAME, spec, weights, hashlib.sha256(path.read_bytes()).hexdigest(), path.name, remarks
    )
    check_weights(trained)
    return trained


class _States:
    """Arrays of a state dict by their present names."""

    def __init__(self, states: dict[str, Any], archive: TorchArchive):
        self._archive = archive
        self._records = {_present_name(name): record for name, record in states.items() if isinstance(name, str)}

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._records:
            raise ModelFileError(f"{self._archive.name} lacks the weight {name}; copy the file again")
        return self._archive.array(self._records[name], name)

    def names(self) -> Iterator[str]:
        return iter(self._records)


def _present_name(name: str) -> str:
    for pattern, present in _OLD_NAMES:
        found = pattern.match(name)
        if found:
            replaced = found[0].replace(" ", "_") if present is None else present
            name = replaced + name[found.end() :]
    return name.replace(".denumerator", ".denominator")


def _weights(spec: GatedSpec, states: _States) -> Weights:
    weights: Weights = {"wave_numbers": states["edge_embedding.basis_function.coeffs"]}
    homes = {"embedding": "onehot_to_feature_x"}
    homes |= {"readout.0": "reduce_input_to_hidden", "readout.1": "reduce_hidden_to_energy"}
    for t, layer in enumerate(spec.layers):
        homes |= {f"layers.{t}.up": f"{t}_self_interaction_1", f"layers.{t}.message": f"{t}_self_interaction_2"}
        kind = "linear" if layer.self_connection == "linear" else "fc_tensor_product"
        weights[f"layers.{t}.self_connection.weight"] = states[f"{t}_self_connection_intro.{kind}.weight"].reshape(-1)
        weights[f"layers.{t}.denominator"] = states[f"{t}_convolution.denominator"].reshape(())
        for k in range(len(layer.radial_widths) + 1):
            weights[f"layers.{t}.radial.{k}.weight"] = states[f"{t}_convolution.weight_nn.layer{k}.weight"]
    for name, home in homes.items():
        weights[f"{name}.weight"] = states[f"{home}.linear.weight"].reshape(-1)
        if _linear_named(spec, name).has_bias:
            weights[f"{name}.bias"] = states[f"{home}.linear.bias"]
    for part in ("shift", "scale"):
        array = states[f"rescale_atomic_energy.{part}"]
        weights[part] = np.broadcast_to(array, (len(spec.atomic_numbers),)).copy() if array.size == 1 else array
    for name in states.names():
        if found := _COUPLING.match(name):
            weights[f"couplings.{'_'.join(found.groups())}"] = states[name]
    return weights


def _linear_named(spec: GatedSpec, name: str) -> Any:
    maps = [spec.embedding, *spec.readout, *(one for layer in spec.layers for one in (layer.up, layer.message))]
    return next(one for one in maps if one.name == name)
