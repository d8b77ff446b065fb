"""Facts of a file of mace-torch that need no support of the model: the reader may refuse it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mlip_lammps.core.errors import ModelFileError, UnsupportedModelError
from mlip_lammps.families.checkpoints.archive import TorchArchive
from mlip_lammps.families.checkpoints.identify import unwrap
from mlip_lammps.families.checkpoints.pickle_reader import Record, feature_of
from mlip_lammps.families.mace.reader.module import Module
from mlip_lammps.families.mace.reader.names import allowed_names

_OPTIONS = ("use_so3", "use_agnostic_product", "use_last_readout_only", "edge_irreps", "embedding_specs")
_DEEPEST = 20
_MARKS = (
    ("0.2.0", "", ""),
    ("0.3.0", "interactions", "radial_MLP"),
    ("0.3.7", "", "heads"),
    ("0.3.9", "interactions", "cueq_config"),
    ("0.3.13", "", "lammps_mliap"),
    ("0.3.14", "", "apply_cutoff"),
    ("0.3.15", "", "use_edge_irreps_first"),
)
"""Version of mace-torch, and the attribute that it added to the model or to its interaction blocks."""
_BEFORE = {"0.3.0": "0.2.0", "0.3.7": "0.3.6", "0.3.9": "0.3.8", "0.3.13": "0.3.12", "0.3.14": "0.3.13"}
_BEFORE |= {"0.3.15": "0.3.14"}
"""The release before each of these versions."""


def inspect_mace_torch(path: Path) -> dict[str, Any]:
    """Return the facts of a file that contains a model of mace-torch, supported or not; empty for any other file.

    Returns
    -------
    dict
        Facts under the names that ``MaceModel.facts`` uses, as far as they are found, the classes of the interaction
        blocks, and ``unsupported``: the features that no supported model has.
    """
    try:
        with TorchArchive(path, allowed_names()) as archive:
            root, unknown = archive.any_root()
            root = unwrap(root)
            if not isinstance(root, Record) or not root.name.startswith("mace."):
                return {}
            return _facts(Module(root, archive, ""), unknown)
    except (ModelFileError, UnsupportedModelError):
        return {}


def _facts(model: Module, unknown: frozenset[str]) -> dict[str, Any]:
    parts: dict[str, Callable[[], Any]] = {
        "model_class": lambda: model.class_name,
        "made_by": lambda: _version(model),
        "atomic_numbers": lambda: model.array("atomic_numbers").reshape(-1).tolist(),
        "heads": lambda: list(model.attribute("heads", None) or ("Default",)),
        "cutoff": lambda: model.number("r_max"),
        "dtype": lambda: str(model.child("node_embedding").child("linear").array("weight").dtype),
        "interactions": lambda: [one.class_name for one in model.child("interactions").children()],
        "radial_basis": lambda: model.child("radial_embedding").child("bessel_fn").class_name,
        "distance_transform": lambda: model.child("radial_embedding").child("distance_transform").class_name,
        "readouts": lambda: [one.class_name for one in model.child("readouts").children()],
        "options": lambda: [name for name in _OPTIONS if model.attribute(name, None)],
        "n_weights": lambda: _count(model, _DEEPEST),
    }
    facts: dict[str, Any] = {}
    for name, find in parts.items():
        try:
            facts[name] = find()
        except (ModelFileError, UnsupportedModelError, TypeError, ValueError, AttributeError):
            continue
    facts["unsupported"] = sorted({feature_of(name) for name in unknown})
    return facts


def _version(model: Module) -> str:
    """Return the versions of mace-torch that give a model these attributes; files do not record the version."""
    first = model.child("interactions").children()[0]
    has = [not name or (first if part else model).has_attribute(name) for _, part, name in _MARKS]
    newest = max(k for k, is_there in enumerate(has) if is_there)
    version = _MARKS[newest][0]
    if newest == len(_MARKS) - 1:
        return f"mace-torch {version} or newer"
    last = _BEFORE[_MARKS[newest + 1][0]]
    return f"mace-torch {version}" if last == version else f"mace-torch {version} to {last}"


def _count(module: Module, depth: int) -> int:
    """Return the number of trained parameters of a module and its submodules."""
    if depth == 0:
        raise ValueError("modules that contain themselves")
    own = sum(int(np.size(array)) for array in module.parameters())
    return own + sum(_count(child, depth - 1) for child in module.modules())
