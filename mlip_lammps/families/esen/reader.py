"""Reader of the inference checkpoints of fairchem: configuration and averaged weights, as data and without torch."""

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive, small_pickle
from mlip_lammps.families.checkpoints.pickle_reader import Record
from mlip_lammps.families.checkpoints.weights import weight_of
from mlip_lammps.families.esen.settings import Source, source_of
from mlip_lammps.families.esen.spec import EsenModel
from mlip_lammps.families.esen.version_one import marks, model_config_of, source_of_version_one

CITATION = "Fu et al., arXiv:2502.12147 (2025); Wood et al., arXiv:2506.23971 (2025)"

_CHECKPOINT = "fairchem.core.units.mlip_unit.api.inference.MLIPInferenceCheckpoint"
_NODES = frozenset(f"omegaconf.nodes.{kind}Node" for kind in ("Any", "Integer", "Float", "String", "Boolean"))
_CONTAINERS = frozenset({"omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig"})
_TYPES = frozenset(
    f"{module}.{name}"
    for module in ("builtins", "__builtin__")
    for name in ("dict", "list", "tuple", "str", "unicode", "int", "long", "float", "bool")
)
_ALLOWED = _NODES | _CONTAINERS | _TYPES | {
    _CHECKPOINT, "omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata", "collections.defaultdict", "typing.Any",
}  # fmt: skip
_DEEPEST, _MOST_VALUES = 12, 200_000
_BUFFERS = re.compile(
    r"Jd_\d+|wigner_data\..*|SO3_grid\..*|mappingReduced\..*|distance_expansion\.offset|coefficient_index|"
    r"(.*\.)?(expand_index|balance_degree_weight|to_grid_mat\w*|from_grid_mat\w*)|dataset_embedding\..*"
)
"""Constants among the weights, and the embeddings of datasets, of which only those of the tasks are read."""


def is_checkpoint(path: Path, start: bytes) -> bool:
    """Return whether a file contains a model of fairchem."""
    pickled = small_pickle(path, start)
    if pickled is None:
        return False
    is_first = b"state_dict" in pickled and b"config" in pickled and any(mark in pickled for mark in marks())
    return is_first or b"MLIPInferenceCheckpoint" in pickled


def read_checkpoint(path: Path) -> EsenModel:
    """Read a model from an inference checkpoint.

    Raises
    ------
    ModelFileError
        If the file is damaged.
    UnsupportedModelError
        If the model has a feature that is not supported; the message names it.
    """
    with TorchArchive(path, _ALLOWED) as archive:
        root, _ = archive.any_root()
        if isinstance(root, dict):
            model_config_of(_plain_config(root, path), path)  # refuses other models by name
        root = archive.root()
        if isinstance(root, dict):
            source, records = source_of_version_one(_plain_config(root, path), archive, path), root["state_dict"]
        elif isinstance(root, Record) and root.name == _CHECKPOINT and isinstance(root.state, dict):
            configurations = (_plain(root.state.get(name), path) for name in ("model_config", "tasks_config"))
            source, records = source_of(*configurations, str(path)), _averaged(root.state, path)
        else:
            raise ModelFileError(f"{path} contains no inference checkpoint of fairchem; give inference_ckpt.pt")
        weights = _weights(source, _without_wrappers(records), archive)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return EsenModel(source.spec, weights, digest, path.name, {"citation": CITATION})


def _plain(value: Any, path: Path) -> Any:
    """Return a configuration of OmegaConf as dictionaries, lists and values."""
    n_values = 0

    def plain(value: Any, depth: int) -> Any:
        nonlocal n_values
        n_values += 1
        if depth > _DEEPEST or n_values > _MOST_VALUES:  # parts may contain themselves
            raise ModelFileError(f"the configuration of {path} is too large or too deep; copy the file again")
        if isinstance(value, Record) and isinstance(value.state, dict):
            if value.name in _CONTAINERS:
                value = value.state.get("_content")
            elif value.name in _NODES:
                value = value.state.get("_val")
        if isinstance(value, dict):
            return {key: plain(one, depth + 1) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [plain(one, depth + 1) for one in value]
        return value

    return plain(value, 0)


def _plain_config(root: dict[str, Any], path: Path) -> dict[str, Any]:
    return root | {"config": _plain(root.get("config"), path)}


def _averaged(state: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Return the records of the averaged weights, which the package uses."""
    found = state.get("ema_state_dict")
    if not isinstance(found, dict) or not found:
        raise ModelFileError(f"{path} contains no averaged weights (ema_state_dict); give inference_ckpt.pt")
    return found


def _without_wrappers(records: Mapping[str, Any]) -> dict[str, Any]:
    """Return records by their names in the model without the wrappers of averages and parallel trainings."""
    return {re.sub(r"^(module\.)+", "", name): record for name, record in records.items() if isinstance(name, str)}


def _weights(source: Source, records: Mapping[str, Any], archive: TorchArchive) -> dict[str, NDArray[np.floating]]:
    spec, rows = source.spec, np.array(source.spec.atomic_numbers)
    shapes = spec.weight_shapes(source.max_elements)
    _refuse_others(records, shapes, archive.name)
    weights = {name: weight_of(archive, records, f"backbone.{name}", shape) for name, shape in shapes.items()}
    for name in ("sphere", "source", "target"):
        weights[f"{name}_embedding.weight"] = weights[f"{name}_embedding.weight"][rows]
    weights |= _energy_network(source, records, archive)
    if spec.has_dataset_embedding:
        names = [f"backbone.dataset_embedding.dataset_emb_dict.{one}.weight" for one in source.embedded]
        shape = (1, spec.sphere_width)
        weights["dataset_embedding"] = np.concatenate([weight_of(archive, records, one, shape) for one in names])
    weights["references"] = np.array(
        [[energies[z] if energies else 0.0 for z in rows] for energies in source.references]
    )
    return weights


def _energy_network(
    source: Source, records: Mapping[str, Any], archive: TorchArchive
) -> dict[str, NDArray[np.floating]]:
    widths, found = source.spec.energy_widths(), {}
    n_experts = 1 + max(one.expert for one in source.spec.datasets)
    for k in range(3):
        name, shape = f"{source.energy_block}.{2 * k}", (widths[k + 1], widths[k])
        if source.has_head_experts:
            rows = archive.array(records[f"{name}.weights"], name).shape[:1] if f"{name}.weights" in records else ()
            n_rows = max(n_experts, *rows) if rows else n_experts
            weight = weight_of(archive, records, f"{name}.weights", (n_rows, *shape))
        else:
            weight = weight_of(archive, records, f"{name}.weight", shape)[None]
        found[f"energy_block.{2 * k}.weight"] = weight
        found[f"energy_block.{2 * k}.bias"] = weight_of(archive, records, f"{name}.bias", shape[:1])
    return found


def _refuse_others(records: Mapping[str, Any], shapes: Mapping[str, Any], source: str) -> None:
    """Raise if the backbone has weights that the specification does not know: they would be ignored."""
    for name in records:
        inner = name.removeprefix("backbone.")
        if inner != name and inner not in shapes and not _BUFFERS.fullmatch(inner):
            raise UnsupportedModelError(
                f"{source} has the weights {inner[:60]}, which models of fairchem with its settings do not have in "
                "version 2.24 of fairchem-core"
            )
