"""Reader of NequIP checkpoints: settings and weights of a Lightning module, read as data and without torch."""

import hashlib
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from mlip_lammps.core.errors import DAMAGED_ZIP, ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive, small_pickle
from mlip_lammps.families.gated.spec import GatedModel, GatedSpec, Weights
from mlip_lammps.families.gated.validation import check_weights
from mlip_lammps.families.irreps import linear_pairs, linear_size, parse_irreps
from mlip_lammps.families.nequip.settings import spec_of

FAMILY_NAME = "nequip"
CITATION = "Batzner et al., Nat. Commun. 13, 2453 (2022), doi:10.1038/s41467-022-29939-5"

_MARKS = (b"hyper_parameters", b"nequip.")
_PACKAGE_MARK = ".data/extern_modules"
_EMBEDDING = ".type_embed.embed_module.weight"
_TRAINABLE = {
    "bessel_encode.bessel_weights": "bessel_trainable",
    "per_type_energy_scale_shift.scales": "per_type_energy_scales_trainable",
    "per_type_energy_scale_shift.shifts": "per_type_energy_shifts_trainable",
}
"""Arrays that are parameters only if a setting says so."""
_NEVER_TRAINED = ("output_mask", "_rmax_recip", "_empty")


def is_nequip_file(path: Path, start: bytes) -> bool:
    """Return whether a file looks like a checkpoint of NequIP or a file of ``nequip-package``."""
    if start[:2] == b"PK" and _is_package(path):
        return True
    pickled = small_pickle(path, start)
    return pickled is not None and all(mark in pickled for mark in _MARKS)


def _is_package(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, *DAMAGED_ZIP):
        return False
    return any(_PACKAGE_MARK in name for name in names) and any("/nequip/" in name for name in names)


def read_checkpoint(path: Path) -> GatedModel:
    """Read a checkpoint without running its content; averaged weights are taken if it has them, as NequIP does.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    if _is_package(path):
        raise UnsupportedModelError(
            f"{path} is a file of nequip-package, which contains code; give the checkpoint (.ckpt) of the training"
        )
    with TorchArchive(path, frozenset()) as archive:
        root, _ = archive.any_root()  # nothing in it is imported or called
        try:
            parameters = root["hyper_parameters"]
            settings = parameters["model"]
            version = str((parameters.get("info_dict") or {}).get("versions", {}).get("nequip", "of unknown version"))
            spec = spec_of(settings, path.name, version[:20])
            weights = _weights(spec, _Arrays(root["state_dict"], settings, archive), settings)
        except (TypeError, ValueError, KeyError, IndexError, AttributeError, OverflowError) as error:
            raise ModelFileError(f"{path} cannot be read as a checkpoint of NequIP ({error}); copy it again") from error
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    trained = GatedModel(FAMILY_NAME, spec, weights, digest, path.name, {"citation": CITATION})
    check_weights(trained)
    return trained


class _Arrays:
    """Arrays of the model by their names in it, with averaged weights in place of the last ones."""

    def __init__(self, states: dict[str, Any], settings: dict[str, Any], archive: TorchArchive):
        self._archive = archive
        starts = [name.removesuffix(_EMBEDDING) for name in states if name.endswith(_EMBEDDING)]
        if len(starts) != 1:
            raise UnsupportedModelError(
                f"{archive.name} has {len(starts)} models of NequIP, and this package reads one; train one model"
            )
        prefix = f"{starts[0]}."
        self.records = {name.removeprefix(prefix): record for name, record in states.items() if name.startswith(prefix)}
        if any(name.startswith("ema.ema_weight_") for name in states):
            self._take_averages(states, settings)

    def _take_averages(self, states: dict[str, Any], settings: dict[str, Any]) -> None:
        extra = states.get("ema._extra_state")
        if not isinstance(extra, dict) or extra.get("is_holding_ema_weights") is not True:
            raise ModelFileError(
                f"{self._archive.name} was written during a validation and has its weights in another order; give "
                "another checkpoint of the training"
            )
        if not extra.get("num_updates"):
            raise ModelFileError(f"{self._archive.name} has averaged weights of no training step; train the model")
        trained = [name for name in self.records if self._is_trained(name, settings)]
        averages = [name for name in states if name.startswith("ema.ema_weight_")]
        if len(averages) != len(trained):
            raise ModelFileError(
                f"{self._archive.name} has {len(averages)} averaged weights, expected {len(trained)}; copy it again"
            )
        for number, name in enumerate(trained):
            average = states[f"ema.ema_weight_{number}"]
            if self._archive.array(average, name).shape != self[name].shape:
                raise ModelFileError(
                    f"the averaged weight {name} of {self._archive.name} has another shape; copy it again"
                )
            self.records[name] = average

    def _is_trained(self, name: str, settings: dict[str, Any]) -> bool:
        if name in _TRAINABLE:
            return bool(settings.get(_TRAINABLE[name], False))
        last = name.rpartition(".")[2]
        return last not in _NEVER_TRAINED and not last.startswith("_w3j") and self[name].size > 0

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.records:
            raise ModelFileError(f"{self._archive.name} lacks the weight {name}; copy the file again")
        return self._archive.array(self.records[name], name)


def _weights(spec: GatedSpec, arrays: _Arrays, settings: dict[str, Any]) -> Weights:
    """Return the weights in the normalisation of ``GatedModel``.

    NequIP multiplies the matrices of its networks by constants in the precision of the model, and the features by one
    over the square root of the number of neighbours. Its self-connection takes the embedding of the element.
    """
    precision, n_elements = np.dtype(spec.dtype), len(spec.atomic_numbers)
    embedding = arrays["type_embed.embed_module.weight"].astype(np.float64)
    weights: Weights = {
        "wave_numbers": math.pi / spec.cutoff * arrays["bessel_encode.bessel_weights"].astype(np.float64).reshape(-1),
        "embedding.weight": (n_elements**0.5 * embedding).reshape(-1),
        "readout.0.weight": _network_matrix(arrays, "per_atom_energy_readout.mlp_module.mlp", 0, precision).reshape(-1),
    }
    average = settings.get("avg_num_neighbors")
    average = next(iter(average.values())) if isinstance(average, dict) else average
    for t, layer in enumerate(spec.layers):
        home = f"layer{t}_convnet.conv"
        n_matrices = len(layer.radial_widths) + 1
        for k in range(n_matrices):
            matrix = _network_matrix(arrays, f"{home}.edge_mlp.mlp", k, precision)
            weights[f"layers.{t}.radial.{k}.weight"] = matrix
        weights[f"layers.{t}.denominator"] = np.array(1.0 / np.float64(precision.type(1.0 / math.sqrt(average))))
        for name, part in (("up", "linear_1"), ("message", "linear_2")):
            weights[f"layers.{t}.{name}.weight"] = arrays[f"{home}.{part}.weight"]
        if layer.self_connection == "element":
            self_connection = arrays[f"{home}.sc.weight"].astype(np.float64)
            weights[f"layers.{t}.self_connection.weight"] = _by_element(
                self_connection, embedding, layer.irreps_in, layer.gate.irreps_in
            )
    for part, default in (("shift", 0.0), ("scale", 1.0)):
        array = arrays[f"per_type_energy_scale_shift.{part}s"].astype(np.float64).reshape(-1)
        array = np.full(1, default) if array.size == 0 else array
        weights[part] = np.broadcast_to(array, (n_elements,)).copy() if array.size == 1 else array
    for name in arrays.records:
        head, mark, orders = name.rpartition("._w3j_")
        if mark and head.endswith("tp._compiled_main_left_right"):
            weights[f"couplings.{orders}"] = arrays[name]
    return weights


def _network_matrix(arrays: _Arrays, home: str, k: int, precision: np.dtype) -> np.ndarray:
    """Return a matrix of a network, whose activations are not normalised, in e3nn's normalisation."""
    deep = f"{home}.weights.{k}"
    matrix = arrays[deep if deep in arrays.records else f"{home}.{2 * k}.weight"].astype(np.float64)
    n_in = matrix.shape[0]
    gain = 1.0 if k == 0 else math.sqrt(2.0)
    return matrix * np.float64(precision.type(gain / math.sqrt(n_in))) * n_in**0.5


def _by_element(weight: np.ndarray, embedding: np.ndarray, irreps_in: str, irreps_out: str) -> np.ndarray:
    """Return a tensor product with the embeddings of elements as one with one-hot elements."""
    before, after = parse_irreps(irreps_in), parse_irreps(irreps_out)
    n_elements, n_embedding = embedding.shape
    if weight.size != n_embedding * linear_size(before, after):
        raise ModelFileError(f"a self-connection has {weight.size} weights, which do not fit its irreps; copy it again")
    blocks, offset = [], 0
    for i, k in linear_pairs(before, after):
        shape = before[i].mul, n_embedding, after[k].mul
        block = weight[offset : offset + math.prod(shape)].reshape(shape)
        by_element = np.einsum("uvw,zv->uzw", block, embedding) * (n_elements / n_embedding) ** 0.5
        blocks.append(by_element.reshape(-1))
        offset += math.prod(shape)
    return np.concatenate(blocks)
